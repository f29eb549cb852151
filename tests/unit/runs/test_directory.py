"""A run's directory: made once, driven by one, its events in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.errors import Damaged, RunTaken, UsageError
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.driver import Driver, this_process
from pileus.spec.resolve import resolve
from pileus.spec.values import canonical_json
from pileus.store import Store
from pileus.store.memory import MemoryStore

PLAN = Plan(
    name="one",
    recipe="digits_cnn",
    spec=resolve({"model": "digits_cnn", "data": {"source": "embedded:digits"}}),
    records_uri="memory:records",
    records_fingerprint="ab",
    pileus_version="0",
)


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def test_the_plan_comes_back_and_cannot_be_made_twice(store: Store) -> None:
    directory = RunDirectory(store)
    directory.create(PLAN, PLAN.spec)
    assert directory.plan() == PLAN
    with pytest.raises(UsageError, match=r"exists.*pileus runs resume"):
        directory.create(PLAN, PLAN.spec)


def test_no_run_and_a_damaged_one_are_told_apart(store: Store) -> None:
    with pytest.raises(UsageError, match="is no run"):
        RunDirectory(store).plan()
    store.put("spec.json", b"{")
    with pytest.raises(Damaged):
        RunDirectory(store).plan()


def test_of_two_controllers_the_later_wins_and_the_earlier_stops(store: Store) -> None:
    first, second = RunDirectory(store), RunDirectory(store)
    first.drive()
    first.append("training", attempt=1)
    second.drive()
    second.append("training", attempt=2)
    with pytest.raises(RunTaken, match="another process"):
        first.append("done")
    assert [event.data["attempt"] for event in second.events()] == [1, 2]


def test_a_living_driver_keeps_others_out_and_a_dead_one_does_not(store: Store) -> None:
    init = Driver(pid=1, started=_started_of_init(), boot=this_process().boot)
    store.put("driver.json", canonical_json(init))
    with pytest.raises(RunTaken, match="driven by process 1"):
        RunDirectory(store).drive()
    for dead in (Driver(pid=1, started="0", boot=init.boot), Driver(pid=1, started=init.started, boot="other")):
        store.put("driver.json", canonical_json(dead))
        RunDirectory(store).drive()


def _started_of_init() -> str:
    return Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
