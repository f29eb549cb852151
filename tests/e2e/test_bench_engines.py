"""`pileus bench engines` and `pileus bench fingerprints` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.running import assert_told, here

Capture = pytest.CaptureFixture[str]
ENGINES = ("bench", "engines", "--engines", "local")
FINGERPRINTS = ("bench", "fingerprints", "--engines", "local")


def test_the_smallest_study(tmp_path: Path, capsys: Capture) -> None:
    """A real run from a cold process, whose two workers are processes."""
    out = tmp_path / "out"
    words = ("--models", "knn", "--workers", "2", "--images", "600", "--out", out, "--json")
    ended = here(capsys, *ENGINES, *words)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["trials"], found["failed"]) == (1, [])
    (figures,), (model,) = found["figures"], found["models"]
    start_s, work_s, total_s = (figures[name]["median"] for name in ("start_s", "work_s", "total_s"))
    assert 0 < start_s < total_s and 0 < work_s < total_s - start_s
    assert figures["peak_bytes"] > 100e6 and figures["processes"] >= 3
    assert figures["accuracy"] > 0.8 and len(model["classes"]) == 10
    assert len(model["accuracy_by_k"]) == 10 and max(model["accuracy_by_k"]) > 0.8
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert not (out / ".work").exists()
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())


@pytest.mark.parametrize("study", [ENGINES, FINGERPRINTS])
def test_a_dry_run_does_nothing(
    study: tuple[str, ...], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    design = json.loads(here(capsys, *study, "--workers", "1", "2", "--dry-run", "--json").out)
    assert len(design["trials"]) == 4
    assert "4, about 40 s in all" in here(capsys, *study, "--workers", "1", "2", "--dry-run").out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((*ENGINES, "--models", "resnet"), ("'resnet'", "resnet18")),
        ((*ENGINES, "--stores", "here"), ("'files' or a URI", "'here'")),
        ((*ENGINES, "--workers", "0"), ("--workers", "'0'")),
        ((*FINGERPRINTS, "spaark"), ("'spaark'", "spark")),
        ((*FINGERPRINTS, "--workers", "9"), ("workers=9", "microbatch_size")),
        (("bench", "fingerprints", "digit_cnn"), ("'digit_cnn'", "digits_cnn")),
    ],
)
def test_impossible_levels_are_told(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    assert_told(here(capsys, *words, "--out", tmp_path / "out"), 2, *parts)
