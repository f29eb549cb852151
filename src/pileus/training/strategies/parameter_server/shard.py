"""One server's shard, free of I/O, threads and clocks: which pushes count, when they are applied, who may go on.

Synchronous and stale: a step is applied when the pushes of ALL workers for it are there, added along the canonical
tree, in the order of steps; a worker may begin step c when the weights have at least c - staleness steps. With a
staleness of 0 these are the bits of one worker. Asynchronous: each push is applied as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.batches import share
from pileus.spec.run import ParameterServer, RunSpec
from pileus.training.layout import aligned_zeros
from pileus.training.optimizers import Flat
from pileus.training.strategies.parameter_server.plan import Extent
from pileus.training.strategies.parameter_server.wire import Refused
from pileus.training.tree import Node, TreeSum, Vector, cover
from pileus.training.update import Update

BUCKETS = 64
"""Of the histogram of staleness; the last is for all that is larger."""


class Push(NamedTuple):
    """What a worker tells of a step beside its sums."""

    clock: int
    """The step, from 0."""
    lr: float
    num_leaves: int
    """Of the whole batch."""
    samples: int
    """Behind the sums."""
    stops: int = 0
    commits: int = 0
    """What rank 0 asks of all."""


class Answer(NamedTuple):
    """To the worker whose request it is; the arrays hold still until they are sent."""

    worker: int
    clock: int
    """Of the request."""
    stops: int
    commits: int
    """What all are to do after this step."""
    arrays: Sequence[NDArray[Any]]


class _Gathered:
    """The pushes for one step, as far as they have come."""

    def __init__(self, push: Push, free: list[Vector]) -> None:
        self.push = push
        self.sums = TreeSum(push.num_leaves, free.append)
        self.samples = 0
        self.staleness = 0
        """Added up over the workers."""
        self.workers: set[int] = set()


def bound_of(strategy: ParameterServer) -> int | None:
    """Most steps that weights may lack; None: no bound."""
    return {"sync": 0, "stale": strategy.staleness, "async": None}[strategy.mode]


def nodes_of(worker: int, num_workers: int, num_leaves: int) -> tuple[Node, ...]:
    """Whose sums a worker sends."""
    return cover(share(worker, num_workers, num_leaves), num_leaves)


class Shard:
    """`state` and `remembered` (the optimiser's vectors, then the average) are those of the extent."""

    def __init__(self, spec: RunSpec, extent: Extent, clock: int, state: Flat, remembered: Sequence[Flat]) -> None:
        assert isinstance(spec.strategy, ParameterServer)
        self.extent = extent
        self._num_workers = spec.workers
        self._bound = bound_of(spec.strategy)
        self._corrects = spec.strategy.correction == "inverse"
        self._update = Update(spec, extent.layout(), extent.cut())
        for mine, given in zip(remembered_of(self._update), remembered, strict=True):
            mine[:] = given
        self.state = state
        self._pushed = [clock - 1] * self._num_workers
        """The newest step that each worker has pushed."""
        self._applied = clock
        """Steps; of the asynchronous mode pushes, as if all before had been whole steps."""
        if self._bound is None:
            self._applied *= self._num_workers
        self._seen = [self._applied] * self._num_workers
        """What was applied to the weights that each worker has."""
        self._gathered: dict[int, _Gathered] = {}
        self._waiting: dict[int, str] = {}
        """What each worker waits for: 'weights' of its next step, or 'settled'."""
        self._halts: dict[int, tuple[int, int]] = {}
        """(stops, commits) by the step after which all are to do so."""
        self._granted = clock
        """The newest step that a worker may have begun."""
        self._shown: tuple[int, Flat] = (-1, state)
        self._free: list[Vector] = []
        self.histogram = np.zeros(BUCKETS, np.int64)
        """Pushes by staleness: in steps; of the asynchronous mode in pushes of others."""

    @property
    def clock(self) -> int:
        """Steps that all workers have pushed."""
        return min(self._pushed) + 1

    def vector(self) -> Vector:
        """To receive into; contents undefined."""
        return self._free.pop() if self._free else aligned_zeros(self.extent.size)

    def push(self, worker: int, push: Push, sums: Sequence[Vector]) -> None:
        """Takes the sums over, in the order of `nodes_of`. A push that has come before does not count again.

        Refused where it is not the worker's next.
        """
        due = self._pushed[worker] + 1
        if push.clock > due or push.clock < due - 1:
            raise Refused(f"worker {worker} pushed step {push.clock}, where step {due} is due")
        self._waiting[worker] = "weights"
        if push.clock == due - 1:
            self._free.extend(sums)
            return
        self._pushed[worker] = push.clock
        self._note_asked(push)
        if self._bound is None:
            self._apply_alone(worker, push, sums)
        else:
            self._gather(worker, push, sums)

    def settle(self, worker: int, clock: int) -> None:
        """The worker has pushed the steps before `clock` and needs the state that has them all. Refused otherwise."""
        if clock != self._pushed[worker] + 1:
            raise Refused(f"worker {worker} settles before step {clock}, but pushed up to {self._pushed[worker]}")
        self._waiting[worker] = "settled"

    def forget(self, worker: int) -> None:
        """It waits no more: its connection is gone; it may come again and ask again."""
        self._waiting.pop(worker, None)

    def ready(self) -> list[Answer]:
        """Answers that may be given now, each once."""
        at_rest = self._bound == 0 or all(self._waiting.get(w) == "settled" for w in range(self._num_workers))
        answers = []
        for worker, wish in sorted(self._waiting.items()):
            if wish == "settled" and at_rest:
                answers.append(self._settled(worker))
            elif wish == "weights" and self._may_begin(self._pushed[worker] + 1):
                answers.append(self._weights(worker))
        for answer in answers:
            del self._waiting[answer.worker]
        return answers

    def _may_begin(self, clock: int) -> bool:
        return self._bound is None or self._applied >= clock - self._bound

    def _weights(self, worker: int) -> Answer:
        clock = self._pushed[worker]
        self._granted = max(self._granted, clock + 1)
        self._seen[worker] = self._applied
        return Answer(worker, clock, *self._halts.get(clock, (0, 0)), [self._still()])

    def _settled(self, worker: int) -> Answer:
        self._seen[worker] = self._applied
        arrays: list[NDArray[Any]] = [] if self._bound == 0 else [self._still()]
        if worker == 0:
            remembered = remembered_of(self._update)
            arrays += remembered if self._bound == 0 else [array.copy() for array in remembered]
            arrays.append(self.histogram.copy())
        return Answer(worker, self._pushed[worker] + 1, 0, 0, arrays)

    def _still(self) -> Flat:
        """The state as it is now. Where no step can be applied before all have read it, it is no copy."""
        if self._bound == 0:
            return self.state
        if self._shown[0] != self._applied:
            self._shown = (self._applied, self.state.copy())
        return self._shown[1]

    def _note_asked(self, push: Push) -> None:
        """All leave, or commit, after the same step: the newest that one of them may have begun."""
        for past in [clock for clock in self._halts if clock < min(self._pushed)]:
            del self._halts[past]
        pending = any(clock >= push.clock for clock in self._halts)
        if (push.stops or push.commits) and not pending:
            self._halts[max(self._granted, push.clock)] = (push.stops, push.commits)

    def _gather(self, worker: int, push: Push, sums: Sequence[Vector]) -> None:
        gathered = self._gathered.setdefault(push.clock, _Gathered(push, self._free))
        for node, vector in zip(nodes_of(worker, self._num_workers, push.num_leaves), sums, strict=True):
            gathered.sums.add(node, vector)
        gathered.samples += push.samples
        gathered.workers.add(worker)
        gathered.staleness += self._note_staleness(push.clock - self._seen[worker])
        while (whole := self._gathered.get(self._applied)) and len(whole.workers) == self._num_workers:
            del self._gathered[self._applied]
            mean = whole.sums.sums[0, whole.push.num_leaves]
            mean /= np.float32(whole.samples)
            lr = self._corrected(whole.push.lr, whole.staleness / self._num_workers)
            self._update.apply(self.state, mean, lr, self._applied + 1)
            self._applied += 1
            self._free.append(mean)

    def _apply_alone(self, worker: int, push: Push, sums: Sequence[Vector]) -> None:
        """Its own mean gradient, with the part of the rate that its part of the batch is.

        So the pushes of a step move the weights about as far as the step of all would, whatever the optimiser.
        """
        staleness = self._note_staleness(self._applied - self._seen[worker])
        self._applied += 1
        if not sums:
            return
        total, *others = sums
        for other in others:
            total += other
        total /= np.float32(push.samples)
        low, high = share(worker, self._num_workers, push.num_leaves)
        lr = self._corrected(push.lr * (high - low) / push.num_leaves, staleness / self._num_workers)
        self._update.apply(self.state, total, lr, self._applied)
        self._free.extend(sums)

    def _note_staleness(self, staleness: int) -> int:
        self.histogram[min(staleness, BUCKETS - 1)] += 1
        return staleness

    def _corrected(self, lr: float, steps: float) -> float:
        return lr / (1 + steps) if self._corrects else lr


def remembered_of(update: Update) -> list[Flat]:
    """What a shard remembers beside its state, in the order in which it is sent."""
    average = [] if update.average is None else [update.average]
    return [*update.slots.values(), *average]
