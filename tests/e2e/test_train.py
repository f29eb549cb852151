"""What `pileus train` prints, where, and for whom."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pileus.operations.runs import find_run, verify_run
from tests.e2e.running import (
    EPOCHS,
    PILEUS,
    STEPS_PER_EPOCH,
    alone,
    environment,
    here,
    trial_words,
)

Capture = pytest.CaptureFixture[str]
KEYS = {
    "run",
    "uri",
    "state",
    "epochs",
    "steps",
    "samples_seen",
    "train_s",
    "accuracy",
    "fingerprint",
    "engine",
    "workers",
    "strategy",
    "bundle",
}
_DEADLINE_S = 60.0


def test_the_result_is_one_json_document(digits: Path, fingerprint: str, tmp_path: Path) -> None:
    ended = alone(*trial_words(digits, "--runs", tmp_path, "--workers", "2", "--json"))
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result.keys() >= KEYS
    assert (result["state"], result["engine"], result["workers"], result["strategy"]) == (
        "done",
        "local",
        2,
        "all_reduce",
    )
    assert (result["steps"], result["samples_seen"]) == (EPOCHS * STEPS_PER_EPOCH, EPOCHS * 160)
    assert 0.9 <= result["accuracy"] <= 1
    assert result["fingerprint"] == fingerprint
    assert len([line for line in ended.err.splitlines() if line.startswith("epoch")]) == EPOCHS
    assert "\x1b" not in ended.err
    assert verify_run(find_run(result["run"], str(tmp_path))).faults == ()


def test_quiet_says_nothing_but_the_result(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    words = trial_words(digits, "--engine", "fake", "--runs", tmp_path, "--set", "epochs=1", "--quiet")
    ended = here(capsys, *words, "--name", "one")
    assert (ended.code, ended.err) == (0, "")
    assert "accuracy" in ended.out
    ended = here(capsys, *words, "--name", "one", "--json")
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["kind"] == "UsageError"
    assert "exists" in ended.err


def test_the_help_teaches_recipes_and_settings(capsys: Capture) -> None:
    ended = here(capsys, "train", "--help")
    assert ended.code == 0
    for part in ("digits_cnn", "optimizer.lr", "pileus runs resume", "--data photos/"):
        assert part in ended.out


def on_a_terminal(words: list[str], **more: str) -> tuple[int, str]:
    """Exit code, and what the terminal behind stderr was sent."""
    master, slave = pty.openpty()
    sent: list[bytes] = []

    def watch() -> None:
        try:
            while part := os.read(master, 4096):
                sent.append(part)
        except OSError:
            return  # the other end is closed

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = subprocess.run(
            [*PILEUS, *words],
            stdout=subprocess.DEVNULL,
            stderr=slave,
            env=environment(TERM="xterm-256color", **more),
            timeout=_DEADLINE_S,
            check=False,
        )
    finally:
        os.close(slave)
        watcher.join(_DEADLINE_S)
        os.close(master)
    return done.returncode, b"".join(sent).decode()


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_terminal_is_shown_how_far_it_is(no_colour: bool, digits: Path, tmp_path: Path) -> None:
    words = trial_words(digits, "--engine", "fake", "--runs", tmp_path)
    code, sent = on_a_terminal(words, **({"NO_COLOR": "1"} if no_colour else {}))
    assert code == 0, sent
    shown = re.sub(r"\x1b\[[\d;]*m", "", sent)
    assert re.search(r"training ━+ [\d,]+/3,840 images [\d,.]+ images/s", shown)
    assert bool(re.search(r"\x1b\[[\d;]*3[0-9]", sent)) is not no_colour


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    process = subprocess.Popen(
        [*PILEUS, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate(timeout=_DEADLINE_S)
    assert said == b""


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">/dev/full", 1), (">&- 2>&-", 0), ("2>/dev/full", 0)])
def test_output_that_cannot_be_written_is_told_in_a_line(redirection: str, code: int) -> None:
    command = f"{sys.executable} -m pileus --help --json {redirection}"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment(), timeout=_DEADLINE_S, check=False
    )
    assert done.returncode == code
    assert done.stderr.count("\n") == (1 if code else 0), done.stderr


def test_training_goes_on_where_nothing_can_be_said(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - cannot be closed without an error
    monkeypatch.setattr(sys, "stderr", full)
    ended = here(capsys, *trial_words(digits, "--engine", "fake", "--runs", tmp_path, "--json"))
    with contextlib.suppress(OSError):
        full.close()
    assert json.loads(ended.out)["state"] == "done"
