"""`pileus bench reading` as a user runs it: every trial a real process, every number of a real reading."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest

from pileus.store import open_store
from tests.e2e.running import PILEUS, Begun, assert_told, here
from tests.servers.minio import BUCKET, minio

Capture = pytest.CaptureFixture[str]
QUICK = ("--readers", "1", "--repetitions", "1", "--cache", "warm", "--batch-size", "4", "8", "--batches", "1", "3")
STUDY = ("bench", "reading", "embedded:digits", *QUICK)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_of_digits(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    ended = here(capsys, *STUDY, "--out", out, "--cache", "cold", "warm", "--format", "shards", "files", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    rows = rows_of(out)
    assert (found["trials"], found["failed"], len(rows)) == (16, 0, 16)
    assert all(int(row["images"]) == int(row["batch_size"]) * int(row["batches"]) for row in rows)
    assert found["images"] == sum(int(row["images"]) for row in rows)
    assert Counter(row["format"] for row in rows) == {"files": 8, "shards": 8}
    assert [int(row["requests"]) for row in rows if row["format"] == "files"] == [
        int(row["images"]) for row in rows if row["format"] == "files"
    ]
    assert all(0 < float(row["wall_s"]) < 60 for row in rows)
    assert found["evidence"]["checked"] == 16
    assert len(found["costs"]) == 4
    assert Path(found["report"]).read_text().startswith("<!DOCTYPE html>")
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())
    assert_told(here(capsys, *STUDY, "--out", out), 2, "another study", "choose another --out")


def test_in_words(tmp_path: Path, capsys: Capture) -> None:
    late = ("--format", "shards", "--latency-ms", "5", "--batch-size", "8", "--cache", "cold")
    ended = here(capsys, *STUDY, *late, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    for part in ("2 trials, 32 images counted", "The fastest cell reads", "two sizes of batch", "report.html"):
        assert part in ended.out
    assert "2 trials, about" in ended.err
    assert {row["store"] for row in rows_of(tmp_path / "out")} == {"local+5ms"}
    assert [float(row["wall_s"]) > 0.005 for row in rows_of(tmp_path / "out")] == [True, True]


def test_a_dry_run_does_nothing(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = here(capsys, *STUDY, "--dry-run")
    assert shown.code == 0
    assert "8 combinations" in shown.out
    design = json.loads(here(capsys, *STUDY, "--dry-run", "--json").out)
    assert [trial["number"] for trial in design["trials"]] == list(range(8))
    assert design["expected_s"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.service
def test_a_real_remote_store(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cold shards each is fetched once, of files each costs its request, and the bucket is empty afterwards."""
    with minio(tmp_path / "minio") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        remote = ("--remote", f"s3://{BUCKET}/bench", "--latency-ms", "0", "10", "--cache", "warm", "cold")
        ended = here(capsys, *STUDY, *remote, "--batch-size", "8", "--out", tmp_path / "out", "--json")
        assert ended.code == 0, ended.err
        assert open_store(f"s3://{BUCKET}").list() == []
    rows = rows_of(tmp_path / "out")
    assert Counter(row["store"] for row in rows) == {"local": 8, "remote": 8, "remote+10ms": 8}
    far = [row for row in rows if row["store"] != "local"]
    assert all(row["requests"] == row["images"] for row in far if row["format"] == "files")
    shards = {(row["cache"], row["requests"]) for row in far if row["format"] == "shards"}
    assert shards == {("warm", "0"), ("cold", "1")}


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_stop_keeps_what_was_done_and_says_how_to_go_on(number: Signals, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "my out"
    with Begun(*PILEUS, *STUDY, "--repetitions", "40", "--out", out) as begun:
        begun.heard("320 trials, about")
        begun.seen(lambda: (out / "results.csv").exists() and len(rows_of(out)) >= 2)
        begun.signal(number, group=True)
        ended = begun.ended()
    assert_told(ended, 130, "of 320 trials, which are kept", "go on:")
    rows = rows_of(out)
    assert len(rows) >= 2
    assert not any(row["error"] for row in rows)
    assert all(row["wall_s"] for row in rows)
    command = shlex.split(ended.err.splitlines()[-1])
    assert command[:4] == ["pileus", "bench", "reading", "embedded:digits"]
    assert "320" in here(capsys, *command[1:], "--dry-run").out


def test_a_trial_without_enough_time_fails_alone(tmp_path: Path, capsys: Capture) -> None:
    few = ("--format", "shards", "--batch-size", "4", "--batches", "1", "--deadline-s", "0.1")
    ended = here(capsys, *STUDY, *few, "--out", tmp_path / "out", "--json")
    assert ended.code == 1
    assert [row["error"] for row in rows_of(tmp_path / "out")] == ["it took more than its deadline of 0.1 s"]
    assert "1 of 1 trials failed" in json.loads(ended.out)["caveats"][0]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--batch-size", "0"), ("--batch-size", "a number from 1 to", "'0'")),
        (("--batches", "many"), ("--batches", "'many'")),
        (("--pixels", "5000"), ("--pixels", "to 4,096")),
        (("--format", "tar"), ("--format", "'tar'", "files", "shards")),
        (("--cache", "warm", "warm"), ("cache must have", "each once")),
        (("--repetitions", "100000"), ("at most 10,000 trials", "800,000", "fewer")),
        (("--latency-ms", "nan"), ("--latency-ms", "'nan'")),
        (("--remote", "ftp://x"), ("ftp",)),
    ],
)
def test_impossible_levels_are_told(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    assert_told(here(capsys, *STUDY, "--out", tmp_path / "out", *words), 2, *parts)


def test_a_source_that_is_none_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert_told(here(capsys, "bench", "reading", tmp_path / "nowhere", "--dry-run"), 2, "nowhere", "does not exist")
    assert_told(here(capsys, "bench", "writing"), 2, "writing")
