"""A gang in places, with a placer whose places are threads of this process; their workers are processes as ever."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pileus.engines.hosts import handshake
from pileus.engines.hosts.address import Address
from pileus.engines.hosts.launch import Ending
from pileus.engines.places.attend import attend
from pileus.engines.places.engine import PlacedEngine, placed_capabilities
from pileus.engines.places.invitation import Invitation
from pileus.engines.places.ports import Need
from pileus.errors import PileusError, UsageError, WorkFailed
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import train
from pileus.spec.job import Fault
from tests.e2e.digits import digits, fingerprint
from tests.e2e.running import trial_spec

__all__ = ["digits", "fingerprint"]

_END_S = 30.0


class Threads:
    """Its places are ended by their connections alone. `absent` never come."""

    dashboard = ""

    def __init__(self, absent: Collection[str] = ()) -> None:
        self._absent = absent
        self._threads: dict[str, threading.Thread] = {}
        self._endings: dict[str, Ending] = {}
        self.asked: list[list[str]] = []
        """For each gang, the places that were begun."""

    def open(self) -> Address:
        return Address("127.0.0.1", 0)

    def staying(self, needs: Mapping[str, Need], present: Collection[str]) -> Collection[str]:
        return set(present) & set(needs)

    def place(self, invitation: Invitation, needs: Mapping[str, Need], staying: Collection[str]) -> None:
        self._endings.clear()
        self.asked.append([name for name in needs if name not in staying])
        for name in self.asked[-1]:
            if name not in self._absent:
                thread = threading.Thread(target=self._host, args=(invitation, name, needs[name].cores), name=name)
                self._threads[name] = thread
                thread.start()

    def waits(self, name: str) -> str:
        return f"waiting for a thread to be {name}"

    def endings(self) -> Mapping[str, Ending]:
        return self._endings

    def leave(self) -> None:
        for thread in self._threads.values():
            thread.join(_END_S)

    def close(self) -> None:
        self.leave()

    def _host(self, invitation: Invitation, name: str, cores: int) -> None:
        try:
            self._endings[name] = Ending(attend(invitation, name, cores), is_for_good=False)
        except PileusError as error:
            self._endings[name] = Ending(str(error), is_for_good=True)


def engine_of(placer: Threads) -> PlacedEngine:
    def no_tasks(call: bytes, workers: int, keep: bool) -> Any:
        raise AssertionError("nothing is mapped here")

    return PlacedEngine("threads", placed_capabilities(), placer, no_tasks, own_cores=2)


@pytest.fixture
def engine() -> Iterator[PlacedEngine]:
    chosen = engine_of(Threads())
    yield chosen
    chosen.close()


def test_a_worker_is_started_anew_where_it_was_and_changes_no_bit(
    digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    placer = Threads()
    engine = engine_of(placer)
    try:
        faults = (Fault(kind="kill_worker", rank=1, step=40),)
        result = train(trial_spec(digits, "workers=2"), runs=str(tmp_path), name="t", engine=engine, faults=faults)
    finally:
        engine.close()
    assert (result.fingerprint, result.restarts) == (fingerprint, 1)
    assert placer.asked == [["place 0", "place 1"], []]
    assert verify_run(find_run("t", str(tmp_path))).faults == ()


def test_a_place_that_never_comes_is_told_with_what_it_waits_for(digits: Path, tmp_path: Path) -> None:
    engine = engine_of(Threads(absent=("place 0", "place 1")))
    spec = trial_spec(digits, "workers=2", "engine.start_deadline_s=1.5")
    with pytest.raises(WorkFailed, match=r"rank 1: waiting for a thread to be place 1"):
        train(spec, runs=str(tmp_path), name="t", engine=engine)
    engine.close()


def test_a_place_of_another_version_ends_the_run_at_once(
    engine: PlacedEngine, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart by its thread."""

    def version(library: str) -> str:
        return "9" if threading.current_thread().name.startswith("place") else "8"

    monkeypatch.setattr(handshake, "_version", version)
    with pytest.raises(WorkFailed, match=r"place \d is gone: .* refuses place \d: it has pileus 9, and the chief 8"):
        train(trial_spec(digits, "workers=1"), runs=str(tmp_path), name="t", engine=engine)


def test_gpus_are_asked_for_by_number(engine: PlacedEngine, digits: Path, tmp_path: Path) -> None:
    spec = trial_spec(digits, "device=cuda", "engine.address=head:6379")
    with pytest.raises(UsageError, match=r"device=cuda and engine.gpus=0.*--set engine.gpus=1"):
        train(spec, runs=str(tmp_path / "runs"), engine=engine)
    assert not (tmp_path / "runs").exists()


def test_the_secret_of_an_invitation_is_in_no_log() -> None:
    invitation = Invitation(host="10.0.0.1", port=7, secret=b"very secret", group="g")
    assert "secret" not in f"{invitation} {invitation!r} {[invitation]}"
