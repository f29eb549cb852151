"""Every worker has the whole state and takes the same step with the same sum: one worker, or exact all-reduce."""

from __future__ import annotations

import time

import numpy as np

from pileus.spec.run import RunSpec
from pileus.training.exchange.ports import Exchange
from pileus.training.gradient import NUM_TOTALS, Totals
from pileus.training.lanes import Lanes, Leaf
from pileus.training.layout import aligned_zeros
from pileus.training.replica import WholeReplica
from pileus.training.strategies.ports import Task


class ExactLearner(WholeReplica):
    def __init__(self, spec: RunSpec, lanes: Lanes, exchange: Exchange) -> None:
        super().__init__(spec, lanes, exchange)
        self._total = aligned_zeros(self.layout.num_summed + NUM_TOTALS)

    def step(self, task: Task, leaf: Leaf) -> Totals:
        self._sum(task.num_leaves, leaf, self._total)
        totals = Totals.of(self._total)
        started = time.perf_counter()
        mean = self._total[: self.layout.num_summed]
        mean /= np.float32(totals.samples)
        self._update.apply(self._lanes.state, mean, task.lr, task.global_step + 1)
        self.seconds.optimizer += time.perf_counter() - started
        return totals

    def close(self) -> None:
        self._lanes.close()
