"""`pileus doctor --faults`: a line a trial, one document, and an exit code that a program can go by."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest

from pileus.engines.connect import PLACING
from pileus.operations.trials import suite
from pileus.operations.trials.scenarios import SCENARIOS
from tests.e2e.running import assert_told, here


def test_trials_are_told_as_a_table_and_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", "--faults", "fake", "--only", "nan", "worker-killed", "stopped"]
    ended = here(capsys, *words, "--json")
    assert ended.code == 0
    document = json.loads(ended.out)
    trials = {trial["name"]: trial for trial in document["trials"]}
    assert (document["engine"], document["passed"], list(trials)) == ("fake", True, ["worker-killed", "stopped", "nan"])
    assert trials["worker-killed"]["told"] == ["rank 1 was lost: killed; starting the gang again"]
    assert "no processes" in trials["stopped"]["skipped"]
    assert [line.split()[:2] for line in ended.err.splitlines()] == [
        ["passed", "worker-killed"],
        ["skipped", "stopped"],
        ["passed", "nan"],
    ]


def test_a_trial_that_is_not_passed_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [msgspec.structs.replace(each, restarts=5) for each in SCENARIOS if each.name == "worker-killed"]
    monkeypatch.setattr(suite, "SCENARIOS", tuple(wrong))
    ended = here(capsys, "doctor", "--faults", "fake")
    assert ended.code == 1
    assert "failed" in ended.out
    assert "1 gangs were started again, and should be 5" in ended.err
    assert "passed 0 of 1 trials" in ended.out


@pytest.mark.parametrize("name", PLACING)
def test_an_extra_that_is_missing_is_said_before_anything_starts(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [each for each in sys.modules if each.startswith(f"pileus.engines.{name}")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PLACING[name].library, None)
    ended = here(capsys, "doctor", "--faults", f"{name}@127.0.0.1:1")
    assert_told(ended, 3, f"pip install 'pileus[{name}]'")
    assert (ended.out, len(ended.err.splitlines())) == ("", 1)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert_told(here(capsys, "doctor", "--faults", "fake", "--only", "kiled"), 2, "no trial is called 'kiled'")
    assert_told(here(capsys, "doctor", "--faults", "moon"), 2, "no engine is called 'moon'")
    assert_told(here(capsys, "doctor", "--only", "nan"), 2, "--faults ENGINE")
