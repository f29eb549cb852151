"""Every worker has the whole state and takes the same step with the same sum: one worker, or exact all-reduce."""

from __future__ import annotations

import time

import numpy as np

from pileus.data.batches import share
from pileus.records.frame import crc32c
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.exchange.ports import Exchange
from pileus.training.gradient import NUM_TOTALS, Totals
from pileus.training.lanes import Lanes, Leaf, Seconds, restore
from pileus.training.layout import aligned_zeros
from pileus.training.reduction import AllReduce
from pileus.training.strategies.ports import Task
from pileus.training.tree import Node, Vector
from pileus.training.update import Update, standing_in


class ExactLearner:
    tells_all = True
    in_step = True
    may_settle = True
    shares = 0

    def __init__(self, spec: RunSpec, lanes: Lanes, exchange: Exchange) -> None:
        self._lanes = lanes
        self._exchange = exchange
        self._reduction = AllReduce(exchange)
        self.layout = lanes.layout
        self._update = Update(spec, self.layout)
        self._update.begin(lanes.state)
        self._total = aligned_zeros(self.layout.num_summed + NUM_TOTALS)

    @property
    def seconds(self) -> Seconds:
        return self._lanes.seconds

    @seconds.setter
    def seconds(self, seconds: Seconds) -> None:
        self._lanes.seconds = seconds

    def held(self, task: Task) -> Node:
        return share(self._exchange.rank, self._exchange.size, task.num_leaves)

    def step(self, task: Task, leaf: Leaf) -> Totals:
        self._sum(task.num_leaves, leaf, self._total)
        totals = Totals.of(self._total)
        started = time.perf_counter()
        mean = self._total[: self.layout.num_summed]
        mean /= np.float32(totals.samples)
        self._update.apply(self._lanes.state, mean, task.lr, task.global_step + 1)
        self.seconds.optimizer += time.perf_counter() - started
        return totals

    def settle(self) -> None:
        return None

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        total = aligned_zeros(NUM_TOTALS)
        with standing_in(self._update.average, self._lanes.state):
            self._sum(num_leaves, leaf, total)
        return Totals.of(total)

    def tensors(self) -> Tensors:
        return self._lanes.tensors() | self._update.tensors()

    def restore(self, tensors: Tensors) -> None:
        restore(self._lanes.tensors(), tensors)
        self._update.begin(self._lanes.state)
        restore(self._update.tensors(), tensors, all_of_them=False)

    def fingerprint(self) -> str:
        return self._lanes.fingerprint()

    def mark(self) -> int:
        return crc32c(self._lanes.state.view(np.uint8))

    def close(self) -> None:
        self._lanes.close()

    def _sum(self, num_leaves: int, leaf: Leaf, into: Vector) -> None:
        held = share(self._exchange.rank, self._exchange.size, num_leaves)
        sums = self._lanes.sums(held, num_leaves, leaf, len(into))
        started = time.perf_counter()
        self._reduction.agree(sums, num_leaves, into)
        self._lanes.free(sums)
        self.seconds.exchange += time.perf_counter() - started
