"""Every trial of the table, with the engine of processes; the fake is held to what a thread can suffer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from pileus.engines import connect
from pileus.operations.trials.leftovers import apart_from_others
from pileus.operations.trials.scenarios import SCENARIOS, Scenario
from pileus.operations.trials.trial import Bench, fault_free, hold

_ON_FAKE = frozenset(
    {"exit", "two-workers-killed", "joined", "killed-in-save", "nan", "shard-killed", "async-worker-killed"}
)


def bench_of(engine_name: str) -> Iterator[Bench]:
    engine = connect(engine_name)
    try:
        with apart_from_others() as folder:
            yield fault_free(engine, str(folder / "runs"))
    finally:
        engine.close()


@pytest.fixture(scope="module")
def local() -> Iterator[Bench]:
    yield from bench_of("local")


@pytest.fixture(scope="module")
def fake() -> Iterator[Bench]:
    yield from bench_of("fake")


def judge(scenario: Scenario, bench: Bench) -> None:
    """In a folder of its own, so that a second try does not find the run of the first."""
    outcome = hold(scenario, bench._replace(runs=tempfile.mkdtemp(dir=bench.runs)))
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.complaints == ()
    assert outcome.passed
    assert len(outcome.told) >= min(1, len(scenario.told))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_local(scenario: Scenario, local: Bench) -> None:
    judge(scenario, local)


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.name in _ON_FAKE], ids=lambda scenario: scenario.name
)
def test_fake(scenario: Scenario, fake: Bench) -> None:
    judge(scenario, fake)
