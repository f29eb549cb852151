"""`pileus bench training` as a user runs it: every trial a real run in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.running import assert_told, here

Capture = pytest.CaptureFixture[str]
QUICK = ("--seconds", "0.1", "--rounds", "1", "--steps", "4", "--workers", "1", "2")
STUDY = ("bench", "training", "embedded:digits", *QUICK)


def test_a_study_of_digits(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    ended = here(capsys, *STUDY, "--strategies", "all_reduce:exact", "--out", out, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["trials"], found["failed"]) == (2, 0)
    one, two = found["figures"]
    assert one["speedup"]["median"] == 1.0 and two["speedup"]["median"] > 0
    assert two["base"] == one["contender"]
    assert 0 < two["network_bytes"] < 0.5 * two["needed_bytes"], "it goes by memory between processes of one host"
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())
    assert_told(here(capsys, *STUDY, "--out", out), 2, "another study", "choose another --out")


def test_in_words_with_what_is_left_out(tmp_path: Path, capsys: Capture) -> None:
    words = ("--engine", "fake", "--strategies", "single", "all_reduce:fast", "--out", tmp_path / "out")
    ended = here(capsys, *STUDY, *words)
    assert ended.code == 0, ended.err
    for part in ("digits_cnn, single, 1 worker", "Fastest of digits_cnn", "note: Not run", "report.html"):
        assert part in ended.out
    assert "cannot run strategy 'all_reduce (fast)'" in ended.err


def test_a_dry_run_does_nothing(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    design = json.loads(here(capsys, *STUDY, "--strategies", "local_sgd", "--dry-run", "--json").out)
    assert [trial["contender"]["workers"] for trial in design["trials"]] in ([1, 2], [2, 1])
    assert "2, about" in here(capsys, *STUDY, "--strategies", "local_sgd", "--dry-run").out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--strategies", "fast"), ("--strategies", "'fast'", "all_reduce:fast")),
        (("--model", "digit_cnn"), ("'digit_cnn'", "digits_cnn")),
        (("--workers", "0"), ("--workers", "'0'")),
        (("--workers", "2", "2"), ("workers must be", "each once")),
        (("--engine", "here"), ("no engine is called 'here'",)),
        (("--set", "epoch=3"), ("'epoch'", "epochs")),
        (("--seconds", "nan"), ("--seconds", "'nan'")),
    ],
)
def test_impossible_levels_are_told(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    assert_told(here(capsys, *STUDY, "--out", tmp_path / "out", *words), 2, *parts)
