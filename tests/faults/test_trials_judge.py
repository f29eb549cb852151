"""A trial that is not passed says so: each complaint is drawn from a trial that deserves it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pileus.engines.fake import FakeEngine
from pileus.engines.ports import Capabilities
from pileus.operations.trials.leftovers import apart_from_others, left_behind, present
from pileus.operations.trials.scenarios import SCENARIOS, Scenario
from pileus.operations.trials.trial import Bench, fault_free, hold, spec_of, suited, why_not
from pileus.spec.job import Fault

_KILLED = next(each for each in SCENARIOS if each.name == "worker-killed")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with apart_from_others() as folder:
        yield fault_free(FakeEngine(), str(folder / "runs"))


def complaints_of(bench: Bench, name: str, **changes: object) -> str:
    return "; ".join(hold(msgspec.structs.replace(_KILLED, name=name, **changes), bench).complaints)


def test_another_end_another_number_of_restarts_and_silence_are_complained_of(bench: Bench) -> None:
    told = complaints_of(bench, "wrong", restarts=2, ends="failed", told=("a flood",))
    assert "the run is done, and should be failed" in told
    assert "1 gangs were started again, and should be 2" in told
    assert "'a flood' was not told" in told


def test_other_weights_are_complained_of(bench: Bench) -> None:
    assert "not those of the run" in complaints_of(bench._replace(fingerprint="0" * 64), "other-weights")


def test_a_trial_that_is_not_over_by_its_deadline_is_ended(bench: Bench) -> None:
    held_up = Fault(kind="pause", rank=1, step=30, seconds=2.0)
    told = complaints_of(bench, "overdue", faults=(held_up,), deadline_s=1.0)
    assert "not over by its deadline" in told


def test_a_trial_that_an_engine_cannot_hold_is_skipped_with_the_reason(bench: Bench) -> None:
    scenario = Scenario(name="x", about="", needs="processes")
    outcome = hold(scenario, bench)
    assert outcome.skipped == why_not(scenario, bench.engine)
    assert outcome.skipped is not None
    assert "no processes" in outcome.skipped


def test_a_trial_of_a_strategy_that_an_engine_has_not_is_skipped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "capabilities", Capabilities(strategies=frozenset({"single"}), processes=False))
    assert why_not(_KILLED, bench.engine) == "engine 'fake' cannot run strategy 'all_reduce'"


PLACING = Capabilities(strategies=frozenset({"all_reduce", "parameter_server"}), processes=True, places=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("worker-killed", None),
        ("place-killed", None),
        ("controller-killed", "knows no process of the driver's"),
        ("notice-to-controller", "knows no process of the driver's"),
        ("packet-loss", "not ours to cut"),
        ("two-runs-at-once", "begin two clusters"),
    ],
)
def test_what_does_not_apply_to_places_is_said(
    name: str, reason: str | None, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "capabilities", PLACING)
    scenario = next(each for each in SCENARIOS if each.name == name)
    told = why_not(scenario, bench.engine)
    assert told is None if reason is None else reason in str(told)


def test_an_engine_without_places_is_not_asked_to_lose_one(bench: Bench) -> None:
    scenario = next(each for each in SCENARIOS if each.name == "place-killed")
    assert "places nothing" in str(why_not(scenario, bench.engine))


def test_places_are_given_longer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = next(each for each in SCENARIOS if each.name == "missing")
    assert suited(missing, bench.engine) == missing
    monkeypatch.setattr(FakeEngine, "capabilities", PLACING)
    longer = suited(missing, bench.engine)
    assert longer.deadline_s > missing.deadline_s
    given, before = (spec_of(each, "fake").engine.start_deadline_s for each in (longer, missing))
    assert given > before
    assert suited(_KILLED, bench.engine).settings == _KILLED.settings


def test_accuracy_below_the_band_is_complained_of(bench: Bench) -> None:
    better = bench._replace(accuracy=bench.accuracy + 0.2)
    assert "and should be within 0.06 of" in complaints_of(better, "worse", band=0.06)


def test_what_is_left_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a process whose parent is gone."""
    monkeypatch.setattr("pileus.operations.trials.leftovers._GRACE_S", 0.0)
    go = threading.Event()
    with apart_from_others() as folder:
        before = present()
        assert left_behind(before) == []
        waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        thread = threading.Thread(target=go.wait, name="idler")
        thread.start()
        Path(tempfile.gettempdir(), "note").touch()
        reading, writing = os.pipe()
        told = "\n".join(left_behind(before))
        assert "pipe is left open" not in "\n".join(left_behind(before, and_descriptors=False))
        go.set()
        thread.join()
        waiting.communicate()
        os.close(reading)
        os.close(writing)
        (folder / "note").unlink()
        assert left_behind(before) == []
    assert f"process {waiting.pid} is left" in told
    assert "thread idler is left" in told
    assert "temporary file note is left" in told
    assert "pipe is left open" in told


def test_the_environment_is_as_before_afterwards() -> None:
    before = (dict(os.environ), tempfile.gettempdir())
    with apart_from_others() as folder:
        assert tempfile.gettempdir() == str(folder)
    assert (dict(os.environ), tempfile.gettempdir()) == before
    assert not folder.exists()
