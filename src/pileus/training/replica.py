"""What learners have in common: one worker's lanes over its state, and sums over all workers.

Nothing here is overridden; a learner adds what its strategy is.
"""

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


class Replica:
    """Of a state that is the worker's own, at least for a while."""

    def __init__(self, lanes: Lanes, exchange: Exchange) -> None:
        self._lanes = lanes
        self._exchange = exchange
        self._reduction = AllReduce(exchange)
        self.layout = lanes.layout

    @property
    def seconds(self) -> Seconds:
        return self._lanes.seconds

    @seconds.setter
    def seconds(self, seconds: Seconds) -> None:
        self._lanes.seconds = seconds

    def fingerprint(self) -> str:
        return self._lanes.fingerprint()

    def _even_share(self, num_leaves: int) -> Node:
        return share(self._exchange.rank, self._exchange.size, num_leaves)

    def _sum(self, num_leaves: int, leaf: Leaf, into: Vector) -> None:
        """Over all workers, each of which computes its even share."""
        sums = self._lanes.sums(self._even_share(num_leaves), num_leaves, leaf, len(into))
        started = time.perf_counter()
        self._reduction.agree(sums, num_leaves, into)
        self._lanes.free(sums)
        self.seconds.exchange += time.perf_counter() - started

    def _evaluated(self, num_leaves: int, leaf: Leaf, average: Vector | None = None) -> Totals:
        """Of the average where one is given, else of the state."""
        total = aligned_zeros(NUM_TOTALS)
        with standing_in(average, self._lanes.state):
            self._sum(num_leaves, leaf, total)
        return Totals.of(total)


class WholeReplica(Replica):
    """Every worker has the whole state, takes the same step, and remembers the same."""

    tells_all = True
    in_step = True
    may_settle = True
    shares = 0

    def __init__(self, spec: RunSpec, lanes: Lanes, exchange: Exchange) -> None:
        super().__init__(lanes, exchange)
        self._update = Update(spec, self.layout)
        self._update.begin(lanes.state)

    def held(self, task: Task) -> Node:
        return self._even_share(task.num_leaves)

    def settle(self) -> None:
        return None

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        return self._evaluated(num_leaves, leaf, self._update.average)

    def tensors(self) -> Tensors:
        return self._lanes.tensors() | self._update.tensors()

    def restore(self, tensors: Tensors) -> None:
        restore(self._lanes.tensors(), tensors)
        self._update.begin(self._lanes.state)
        restore(self._update.tensors(), tensors, all_of_them=False)

    def mark(self) -> int:
        return crc32c(self._lanes.state.view(np.uint8))
