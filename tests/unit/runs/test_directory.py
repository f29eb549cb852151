"""A run's directory: made once, driven by one, its events in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pileus.errors import Damaged, RunTaken, StoreError, UsageError
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.driver import Driver, this_process
from pileus.spec.resolve import resolve
from pileus.spec.values import canonical_json, digest
from pileus.store import Abilities, Store
from pileus.store.memory import MemoryStore

_ROUNDS = 40
_RACERS = 6
_DEADLINE_S = 20.0
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


def dead() -> Driver:
    """A process of this machine that has ended."""
    return Driver(pid=1, started="0", boot=this_process().boot)


def elsewhere() -> Driver:
    """A process of another machine, or of another boot: nobody can tell whether it lives."""
    return Driver(pid=1, started=_started_of_init(), boot="other")


def test_of_two_controllers_the_later_wins_and_the_earlier_stops(store: Store) -> None:
    first, second = RunDirectory(store), RunDirectory(store)
    first.drive()
    first.append("training", attempt=1)
    store.put("driver.json", canonical_json(elsewhere()))
    second.drive()
    second.append("training", attempt=2)
    with pytest.raises(RunTaken, match="another process"):
        first.append("done")
    first.release()
    assert [event.data["attempt"] for event in second.events()] == [1, 2]
    assert second.driver() is not None


def test_an_event_whose_first_answer_was_lost_is_ones_own() -> None:
    store = AnswersLost()
    directory = RunDirectory(store)
    directory.drive()
    directory.append("training", attempt=1)
    assert [event.kind for event in directory.events()] == ["training"]


class AnswersLost(MemoryStore):
    """Each put-if-absent of an event is done twice, as a client does that got no answer to the first."""

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        if key.startswith("events/"):
            super().put(key, content, if_absent=if_absent)
        return super().put(key, content, if_absent=if_absent)


class WithoutSwap(MemoryStore):
    abilities = Abilities(swap=False)

    def swap(self, key: str, content: bytes, version: str) -> str:
        raise StoreError("this store has no compare-and-swap")


STORES = [MemoryStore, WithoutSwap]


@pytest.mark.parametrize("kind", STORES)
def test_a_living_driver_keeps_others_out_and_a_dead_one_does_not(kind: type[MemoryStore]) -> None:
    store = kind()
    init = Driver(pid=1, started=_started_of_init(), boot=this_process().boot)
    store.put("driver.json", canonical_json(init))
    with pytest.raises(RunTaken, match="driven by process 1"):
        RunDirectory(store).drive()
    assert RunDirectory(store).driver() == init
    for former in (dead(), elsewhere()):
        store.put("driver.json", canonical_json(former))
        directory = RunDirectory(store)
        directory.drive()
        directory.release()
        assert directory.driver() is None


def test_a_drive_that_ended_bars_no_later_one_of_its_process(store: Store) -> None:
    first = RunDirectory(store)
    first.drive()
    driver = first.driver()
    assert driver is not None
    assert driver.is_alive
    with pytest.raises(RunTaken, match="is alive"):
        RunDirectory(store).drive()
    first.release()
    store.put("driver.json", canonical_json(driver))
    assert driver.is_dead
    RunDirectory(store).drive()


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("former", [None, dead])
def test_of_many_that_take_a_run_up_at_once_exactly_one_wins(
    kind: type[MemoryStore], former: Callable[[], Driver] | None
) -> None:
    """All stand at the same point when they begin; whoever comes late finds the first alive."""
    for _ in range(_ROUNDS):
        store = kind()
        if former:
            store.put("driver.json", canonical_json(former()))
        won, lost = _raced([RunDirectory(store) for _ in range(_RACERS)])
        assert (len(won), lost) == (1, _RACERS - 1)
        assert won[0].driver() is not None
        won[0].append("starting")
        won[0].release()
        assert won[0].driver() is None


def _raced(racers: list[RunDirectory]) -> tuple[list[RunDirectory], int]:
    """Who drives now, and how many were told that another does."""
    line = threading.Barrier(len(racers))

    def race(racer: RunDirectory) -> bool:
        line.wait(_DEADLINE_S)
        try:
            racer.drive()
        except RunTaken:
            return False
        return True

    with ThreadPoolExecutor(len(racers)) as pool:
        outcomes = list(pool.map(race, racers, timeout=_DEADLINE_S))
    return [racer for racer, won in zip(racers, outcomes, strict=True) if won], outcomes.count(False)


def test_without_swap_who_died_in_taking_over_is_told_with_the_way_out() -> None:
    store = WithoutSwap()
    store.put("driver.json", canonical_json(dead()))
    claim = f"driver-after-{digest(canonical_json(dead()))}.json"
    store.put(claim, canonical_json(dead()))
    with pytest.raises(RunTaken, match=f"died.*delete {claim}"):
        RunDirectory(store).drive()
    store.delete(claim)
    RunDirectory(store).drive()


def test_what_cannot_be_read_leaves_the_run_free(store: Store) -> None:
    store.put("events/00000000.json", b"{")
    directory = RunDirectory(store)
    with pytest.raises(Damaged):
        directory.drive()
    assert directory.driver() is None


def _started_of_init() -> str:
    return Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
