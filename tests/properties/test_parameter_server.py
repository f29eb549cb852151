"""A shard counts each push once, in the order of steps, whatever the interleaving: its bits are those of one worker."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.data.batches import share
from pileus.spec.optimizer import Sgd
from pileus.spec.run import Data, ParameterServer, RunSpec
from pileus.training.layout import aligned_zeros
from pileus.training.strategies.parameter_server.plan import Extent
from pileus.training.strategies.parameter_server.shard import Push, Shard
from pileus.training.strategies.parameter_server.wire import Refused
from pileus.training.tree import TreeSum, Vector
from pileus.training.update import Update

STEPS = 5
TRAINED, STATISTICS = 48, 16
EXTENT = Extent(0, TRAINED + STATISTICS, TRAINED, TRAINED + STATISTICS)
SCHEDULES = st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=60)
"""Which worker is next, and whether what it pushes has come before: the push, or the answer to it, was lost."""


def spec_of(
    workers: int,
    mode: Literal["sync", "stale", "async"],
    staleness: int = 0,
    momentum: float = 0.9,
    correction: Literal["none", "inverse"] = "none",
) -> RunSpec:
    return RunSpec(
        model="digits_cnn",
        data=Data(source="embedded:digits"),
        batch_size=64,
        microbatch_size=8,
        workers=workers,
        ema=0.9,
        optimizer=Sgd(momentum=momentum, weight_decay=0.01 if momentum else 0.0),
        strategy=ParameterServer(mode=mode, staleness=staleness, correction=correction),
    )


def leaves_of(step: int, seed: int) -> list[Vector]:
    """Of one step, one for each microbatch; each step has another number of them."""
    generator = np.random.default_rng((seed, step))
    return [(generator.standard_normal(EXTENT.size) * 100).astype(np.float32) for _ in range(8 - step)]


def start() -> Vector:
    state = aligned_zeros(EXTENT.size)
    state[:] = np.linspace(-1, 1, EXTENT.size)
    return state


def one_worker(spec: RunSpec, seed: int) -> Vector:
    """The state after all steps, plainly."""
    state = start()
    update = Update(spec, EXTENT.layout())
    update.begin(state)
    for step in range(STEPS):
        leaves = leaves_of(step, seed)
        total = TreeSum(len(leaves))
        for index, leaf in enumerate(leaves):
            total.add((index, index + 1), leaf)
        mean = total.sums[0, len(leaves)] / np.float32(8 * len(leaves))
        update.apply(state, mean, 0.1, step + 1)
    return state


class Play:
    """Workers that push and wait in any order."""

    def __init__(self, spec: RunSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        update = Update(spec, EXTENT.layout())
        update.begin(start())
        remembered = [*update.slots.values(), *([] if update.average is None else [update.average])]
        self.shard = Shard(spec, EXTENT, 0, start(), remembered)
        self.steps = [0] * spec.workers
        """That each worker is about to push, or has pushed and waits for."""
        self.waits = [False] * spec.workers
        self.stops: dict[int, dict[int, int]] = {}
        """By step and worker, what was last told of stopping."""

    def push(self, worker: int, *, stops: int = 0) -> None:
        step = self.steps[worker]
        leaves = leaves_of(step, self.seed)
        partial = TreeSum(len(leaves))
        low, high = share(worker, self.spec.workers, len(leaves))
        for index in range(low, high):
            partial.add((index, index + 1), leaves[index])
        sums = [partial.sums[node] for node in sorted(partial.sums)]
        self.shard.push(worker, Push(step, 0.1, len(leaves), 8 * (high - low), stops), sums)
        self.waits[worker] = True

    def hear(self) -> None:
        for answer in self.shard.ready():
            assert self.waits[answer.worker]
            assert answer.clock == self.steps[answer.worker]
            self.waits[answer.worker] = False
            self.steps[answer.worker] += 1
            told = self.stops.setdefault(answer.clock, {})
            assert told.setdefault(answer.worker, answer.stops) == answer.stops

    def run(self, schedule: list[tuple[int, bool]], stops_at: int | None = None) -> None:
        """As the schedule has it, and then round and round to the end."""
        turns = [*schedule, *[(turn, False) for turn in range(self.spec.workers * STEPS * (STEPS + 1))]]
        for turn, twice in turns:
            worker = turn % self.spec.workers
            if twice and self.steps[worker] and not self.waits[worker]:
                self.steps[worker] -= 1
                self.push(worker)
            elif self.steps[worker] == STEPS:
                continue
            elif not self.waits[worker]:
                self.push(worker, stops=int(worker == 0 and self.steps[0] == stops_at))
            elif twice:
                self.push(worker)
            self.hear()
        assert self.steps == [STEPS] * self.spec.workers


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), SCHEDULES, st.integers(0, 5))
def test_steps_are_applied_once_and_in_order(
    workers: int, staleness: int, schedule: list[tuple[int, bool]], seed: int
) -> None:
    spec = spec_of(workers, "stale", staleness)
    play = Play(spec, seed)
    play.run(schedule)
    assert play.shard.state.tobytes() == one_worker(spec, seed).tobytes()
    assert play.shard.histogram.sum() == workers * STEPS
    assert not play.shard.histogram[staleness + 1 :].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), SCHEDULES, st.integers(0, 5))
def test_an_asynchronous_push_counts_once(workers: int, schedule: list[tuple[int, bool]], seed: int) -> None:
    """Without momentum and statistics the sum of the pushes is that of the steps, in any order."""
    spec = spec_of(workers, "async", momentum=0.0)
    play = Play(spec, seed)
    play.run(schedule)
    expected = one_worker(spec, seed)
    np.testing.assert_allclose(play.shard.state[:TRAINED], expected[:TRAINED], rtol=1e-4, atol=1e-4)
    assert play.shard.histogram.sum() == workers * STEPS


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.sampled_from(["sync", "stale", "async"]), SCHEDULES, st.integers(0, STEPS - 1))
def test_all_stop_after_the_same_step(
    workers: int, mode: Literal["sync", "stale", "async"], schedule: list[tuple[int, bool]], stops_at: int
) -> None:
    play = Play(spec_of(workers, mode, staleness=2), seed=0)
    play.run(schedule, stops_at)
    told = {step for step, stops in play.stops.items() if any(stops.values())}
    for step in told:
        assert play.stops[step] == dict.fromkeys(range(workers), 1)
    assert told <= set(range(stops_at, STEPS))
    assert len(told) <= 1
    if mode == "sync":
        assert told == {stops_at}


def test_a_push_out_of_order_is_refused() -> None:
    play = Play(spec_of(2, "async"), seed=0)
    play.steps[1] = 1
    with pytest.raises(Refused, match="worker 1 pushed step 1, where step 0 is due"):
        play.push(1)


def test_settling_waits_for_all_and_shows_all_the_same() -> None:
    play = Play(spec_of(2, "async"), seed=0)
    play.push(0)
    play.hear()
    play.shard.settle(0, 1)
    assert play.shard.ready() == []
    play.push(1)
    play.hear()
    play.shard.settle(1, 1)
    first, second = play.shard.ready()
    assert first.arrays[0].tobytes() == second.arrays[0].tobytes() == play.shard.state.tobytes()
    with pytest.raises(Refused, match="worker 1 settles before step 3"):
        play.shard.settle(1, 3)


def test_a_stale_push_is_applied_with_less_of_the_rate() -> None:
    plain = Play(spec_of(2, "async", momentum=0.0), seed=0)
    corrected = Play(spec_of(2, "async", momentum=0.0, correction="inverse"), seed=0)
    moved = []
    for play in (plain, corrected):
        play.push(0)
        play.hear()
        before = play.shard.state.copy()
        play.push(1)
        moved.append((play.shard.state - before)[:TRAINED])
    np.testing.assert_allclose(moved[1], moved[0] / 1.5, rtol=1e-3, atol=1e-5)
