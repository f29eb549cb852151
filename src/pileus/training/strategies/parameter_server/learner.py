"""A worker's copy of what parameter servers hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pileus.records.frame import crc32c
from pileus.spec.run import ParameterServer, RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.gradient import NUM_TOTALS, Totals
from pileus.training.lanes import Lanes, Leaf, restore
from pileus.training.layout import aligned_zeros
from pileus.training.optimizers import Flat
from pileus.training.replica import Replica
from pileus.training.seat import Gathering
from pileus.training.strategies.parameter_server.client import Caller, Request, Servers, Traffic
from pileus.training.strategies.parameter_server.plan import Extent, extents
from pileus.training.strategies.parameter_server.shard import BUCKETS, bound_of, nodes_of
from pileus.training.strategies.parameter_server.wire import Head, Kind, Seal
from pileus.training.strategies.ports import Task
from pileus.training.tree import Node
from pileus.training.update import Update


class ServedLearner(Replica):
    """Rank 0 tells the servers what they start from; so they need neither the store nor the network."""

    tells_all = False
    may_settle = True
    shares = 0

    def __init__(self, spec: RunSpec, lanes: Lanes, gathering: Gathering) -> None:
        assert isinstance(spec.strategy, ParameterServer)
        super().__init__(lanes, gathering.exchange)
        self.in_step = bound_of(spec.strategy) == 0
        self._rank = gathering.exchange.rank
        self._extents = extents(self.layout, len(gathering.servers))
        self._mirror = Update(spec, self.layout) if self._rank == 0 else None
        """On rank 0: what the servers remembered when all settled last."""
        if self._mirror:
            self._mirror.begin(lanes.state)
        caller = Caller(
            Seal.of(gathering.session),
            self._rank,
            gathering.exchange.size,
            answer_s=spec.engine.start_deadline_s,
            call_s=spec.engine.silence_deadline_s,
        )
        self._servers = Servers(gathering.servers, caller)
        self._averages = spec.ema is not None
        self._begun = False
        self._settled = True
        self._clock = 0
        """The step that is due."""
        self._steps = 0
        """Since the figures were told."""
        self._histogram = np.zeros(BUCKETS, np.int64)
        self._told = np.zeros(BUCKETS, np.int64)

    def held(self, task: Task) -> Node:
        return self._even_share(task.num_leaves)

    def step(self, task: Task, leaf: Leaf) -> Totals:
        self._begin(task.global_step)
        sums = self._lanes.sums(self.held(task), task.num_leaves, leaf, self.layout.num_summed + NUM_TOTALS)
        started = time.perf_counter()
        totals = sum(map(Totals.of, sums.values()), Totals(0.0, 0.0, 0.0))
        head = Head(
            Kind.PUSH,
            self._rank,
            task.global_step,
            task.lr,
            task.num_leaves,
            int(totals.samples),
            int(totals.stops),
            int(totals.commits),
        )
        nodes = nodes_of(self._rank, self._exchange.size, task.num_leaves)
        answers = self._servers.ask(
            [
                Request(head, [sums[node][extent.start : extent.stop] for node in nodes], [self._state_of(extent)])
                for extent in self._extents
            ]
        )
        self._lanes.free(sums)
        self._clock, self._settled = task.global_step + 1, False
        self._steps += 1
        self.seconds.exchange += time.perf_counter() - started
        return totals._replace(stops=float(answers[0].stops), commits=float(answers[0].commits))

    def settle(self) -> None:
        """Where all have the same state after each step, only rank 0 has something to ask for."""
        if self._settled or (self.in_step and self._rank != 0):
            return
        started = time.perf_counter()
        traffic, self._servers.traffic = self._servers.traffic, Traffic()
        histograms = [np.zeros(BUCKETS, np.int64) for _ in self._extents]
        head = Head(Kind.SETTLE, self._rank, self._clock)
        self._servers.ask(
            [
                Request(head, answer=self._settled_of(extent, histogram))
                for extent, histogram in zip(self._extents, histograms, strict=True)
            ]
        )
        self._servers.traffic = traffic
        self._histogram = np.sum(histograms, axis=0)
        self._settled = True
        self.seconds.exchange += time.perf_counter() - started

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        return self._evaluated(num_leaves, leaf, self._shared_average())

    def tensors(self) -> Tensors:
        """Whole on rank 0 alone."""
        return self._lanes.tensors() | (self._mirror.tensors() if self._mirror else {})

    def restore(self, tensors: Tensors) -> None:
        assert not self._begun
        restore(self._lanes.tensors(), tensors)
        if self._mirror:
            self._mirror.begin(self._lanes.state)
            restore(self._mirror.tensors(), tensors, all_of_them=False)

    def mark(self) -> int | None:
        return crc32c(self._lanes.state.view(np.uint8)) if self.in_step else None

    def figures(self) -> dict[str, float]:
        """On rank 0, settled: bytes and messages of a step, and pushes by staleness, since the last call."""
        told = self._histogram - self._told
        traffic, steps = self._servers.traffic, max(self._steps, 1)
        figures = {"bytes_per_step": traffic.num_bytes / steps, "messages_per_step": traffic.messages / steps}
        self._servers.traffic, self._steps, self._told = Traffic(), 0, self._histogram
        return figures | {f"staleness_{each}": float(told[each]) for each in np.flatnonzero(told)}

    def release(self, fingerprint: str | None) -> None:
        """The last word to the servers: finished with these weights, or stopped (None)."""
        self._begin(self._clock)
        told = [] if fingerprint is None else [np.frombuffer(fingerprint.encode(), np.uint8)]
        self._servers.ask([Request(Head(Kind.RELEASE, self._rank, self._clock), told)] * len(self._extents))

    def close(self) -> None:
        self._servers.close()
        self._lanes.close()

    def _shared_average(self) -> Flat | None:
        """Rank 0, which had it of the servers when all settled, hands it round; None where none is kept."""
        if not self._averages:
            return None
        if self._mirror is None:
            received = aligned_zeros(self.layout.num_summed)
            self._exchange.swap({}, {0: [received]})
            return received
        average = self._mirror.average
        assert average is not None
        self._exchange.swap({peer: [average] for peer in range(1, self._exchange.size)}, {})
        return average

    def _begin(self, clock: int) -> None:
        if self._mirror and not self._begun:
            head = Head(Kind.BEGIN, self._rank, clock)
            self._servers.ask(
                [
                    Request(head, [np.asarray(extent, np.int64), self._state_of(extent), *self._remembered_of(extent)])
                    for extent in self._extents
                ]
            )
            self._servers.traffic = Traffic()
        self._begun = True

    def _state_of(self, extent: Extent) -> Flat:
        return self._lanes.state[extent.start : extent.stop]

    def _remembered_of(self, extent: Extent) -> Sequence[Flat]:
        assert self._mirror is not None
        stop = extent.start + extent.cut().trained.stop
        slots = [slot[extent.start : stop] for slot in self._mirror.slots.values()]
        average = [] if self._mirror.average is None else [self._mirror.average[extent.start : extent.stop]]
        return [*slots, *average]

    def _settled_of(self, extent: Extent, histogram: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Where the answer to a settling is to go."""
        state = [] if self.in_step else [self._state_of(extent)]
        if self._mirror is None:
            return [*state]
        return [*state, *self._remembered_of(extent), histogram]
