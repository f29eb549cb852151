"""Ctrl-C and SIGTERM at every moment of a training: a line tells how to go on, and going on ends as if nothing was.

The moments are those at which the command says something; no test waits by the clock.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGSTOP, SIGTERM, Signals

import psutil
import pytest

from pileus.operations.runs import find_run, verify_run
from tests.e2e.running import (
    EPOCHS,
    PILEUS,
    Begun,
    Ended,
    alone,
    assert_told,
    here,
    trial_words,
    write_pictures,
)

Capture = pytest.CaptureFixture[str]


def command_told(ended: Ended) -> list[str]:
    """The words of the command to go on with, without `pileus`."""
    return shlex.split(ended.err[ended.err.rindex("pileus runs resume") :])[1:]


@pytest.mark.parametrize("module", ["rich", "torch.functional", "pileus.operations.controller"])
def test_while_importing(module: str, tmp_path: Path) -> None:
    words = ("-m", "pileus", "train", "digits_cnn", "--runs", tmp_path / "runs")
    with Begun(sys.executable, "-X", "importtime", *words) as begun:
        while begun.heard("import time:").rpartition("|")[2].strip() != module:
            pass
        begun.signal(SIGINT)
        ended = begun.ended()
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "interrupted."
    assert "Traceback" not in ended.err
    assert not (tmp_path / "runs").exists()


def test_while_records_are_written(tmp_path: Path, capsys: Capture) -> None:
    write_pictures(tmp_path / "data" / "cat", num=1500)
    write_pictures(tmp_path / "data" / "dog")
    words = ("train", "digits_cnn", "--data", tmp_path / "data", "--runs", tmp_path / "runs", "--set", "epochs=1")
    with Begun(*PILEUS, *words) as begun:
        begun.heard("1,512 images")
        begun.signal(SIGINT, group=True)
        ended = begun.ended()
    assert_told(ended, 130, "before training", "give the command again")
    again = here(capsys, *words, "--engine", "fake", "--json")
    assert json.loads(again.out)["state"] == "done"


@pytest.mark.parametrize(
    ("moment", "number", "workers"),
    [
        ("run trial at", SIGINT, 2),
        (f"epoch  3/{EPOCHS}", SIGTERM, 3),
        ("packing:", SIGINT, 1),
    ],
)
def test_while_training(
    moment: str, number: Signals, workers: int, digits: Path, fingerprint: str, tmp_path: Path, capsys: Capture
) -> None:
    words = trial_words(digits, "--runs", tmp_path, "--name", "trial", "--workers", str(workers))
    with Begun(*PILEUS, *words) as begun:
        begun.heard(moment)
        begun.signal(number)
        ended = begun.ended()
    assert_told(ended, 130, "interrupted", {SIGINT: "Ctrl-C", SIGTERM: "SIGTERM"}[number], "is saved")
    assert "interrupted" in here(capsys, "runs", "list", "--runs", tmp_path).out
    resumed = here(capsys, *command_told(ended), "--engine", "fake", "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
    check = verify_run(find_run("trial", str(tmp_path)))
    assert (check.faults, check.epochs_proved) == ((), EPOCHS)


def test_the_command_told_does_as_it_is_told(digits: Path, fingerprint: str, tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group, as a terminal sends it."""
    words = trial_words(digits, "--runs", tmp_path / "my runs", "--name", "trial", "--workers", "2")
    with Begun(*PILEUS, *words) as begun:
        begun.heard("epoch  2")
        begun.signal(SIGINT, group=True)
        ended = begun.ended()
    assert_told(ended, 130, "Ctrl-C", "is saved")
    resumed = alone(*command_told(ended), "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
    assert "epoch  1/" not in resumed.err


def test_a_second_ctrl_c_stops_at_once(digits: Path, fingerprint: str, tmp_path: Path, capsys: Capture) -> None:
    """A worker that hangs keeps the gang from stopping in order."""
    words = trial_words(digits, "--runs", tmp_path, "--name", "trial", "--workers", "2")
    with Begun(*PILEUS, *words) as begun:
        begun.heard("epoch  2")
        worker = next(each for each in psutil.Process(begun.pid).children(recursive=True) if not each.children())
        worker.send_signal(SIGSTOP)
        begun.signal(SIGINT)
        begun.heard("again: stop at once")
        begun.signal(SIGINT)
        ended = begun.ended()
    assert_told(ended, 130, "Ctrl-C")
    resumed = here(capsys, *command_told(ended), "--engine", "fake", "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint


def test_a_run_that_is_driven_is_not_taken_up(digits: Path, fingerprint: str, tmp_path: Path, capsys: Capture) -> None:
    """The first is held still, so that it surely lives."""
    with Begun(*PILEUS, *trial_words(digits, "--runs", tmp_path, "--name", "trial")) as begun:
        begun.heard("epoch  1")
        begun.signal(SIGSTOP)
        assert_told(here(capsys, "runs", "resume", tmp_path / "trial"), 2, f"process {begun.pid}", "is alive")
        begun.signal(SIGTERM)
        begun.signal(SIGCONT)
        assert begun.ended().code == 130
    resumed = here(capsys, "runs", "resume", tmp_path / "trial", "--engine", "fake", "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
