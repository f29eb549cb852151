"""`pileus bench serving` as a user runs it: real servers, a real sender, every answer compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.running import assert_told, here

Capture = pytest.CaptureFixture[str]
QUICK = ("--seconds", "0.3", "--rounds", "1")


@pytest.mark.service
def test_a_study_of_a_model_of_drawings(digits_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    words = ("--bodies", "strokes", "--users", "4", "--think-s", "0", "--shares", "0.3", "--out", out)
    ended = here(capsys, "bench", "serving", digits_bundle, *QUICK, *words, "--json")
    assert ended.code == 0, ended.out + ended.err
    found = json.loads(ended.out)
    assert (found["trials"], found["failed"], found["wrong"]) == (3, 0, 0)
    assert [each["cell"]["level"]["type"] for each in found["figures"]] == ["saturation", "crowd", "stream"]
    for each in found["figures"]:
        assert each["goodput"]["median"] > 0 and each["p99_ms"]["median"] > 0
        assert each["server_cores"] > 0 and each["server_rss_bytes"] > 1e7 and each["batch_images"] >= 1
    assert found["ready_s"]["max"] < 60
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())


def test_a_dry_run_does_nothing(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    design = json.loads(here(capsys, "bench", "serving", "--quick", "--dry-run", "--json").out)
    assert design["request"]["bodies"] == ["raw"] and len(design["trials"]) == 8
    assert "trials" in here(capsys, "bench", "serving", "--dry-run").out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("nowhere",), ("no bundle at 'nowhere'",)),
        (("--users", "0"), ("--users", "'0'")),
        (("--users", "5", "5"), ("users must be told each once",)),
        (("--shares", "nan"), ("--shares", "'nan'")),
        (("--bodies", "jpeg"), ("--bodies", "jpeg")),
        (("--seconds", "1e9"), ("--seconds", "'1e9'")),
    ],
)
def test_impossible_levels_are_told(
    words: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    assert_told(here(capsys, "bench", "serving", *words, "--out", tmp_path / "out"), 2, *parts)
