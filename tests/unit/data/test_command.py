"""`pileus data` through the command line itself."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pileus.cli.commands.data import parse_resize, parse_size
from pileus.cli.main import main
from pileus.errors import UsageError
from pileus.spec.usage import Use
from tests.contracts.tiny import write_folder, write_idx


def _json(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    assert main(["data", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_write_then_verify_then_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, dest = str(write_idx(tmp_path / "idx")), str(tmp_path / "set")
    written = _json(capsys, "write", source, dest)
    assert written["splits"] == {"train": 12, "validation": 0, "test": 5}
    assert _json(capsys, "write", source, dest)["written"] is False
    verified = _json(capsys, "verify", dest)
    assert (verified["ok"], verified["records"]) == (True, 17)
    shown = _json(capsys, "show", dest)
    assert (shown["kind"], shown["shape"]) == ("records", [4, 5, 1])
    assert written["fingerprint"] == verified["fingerprint"] == shown["fingerprint"]


def test_show_counts_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _json(capsys, "show", str(write_folder(tmp_path)))
    assert (shown["kind"], shown["shape"], shown["splits_given"]) == ("folder", None, False)
    assert list(shown["counts"]) == ["cat", "dog"]  # type: ignore[call-overload]
    assert sum(shown["counts"]["cat"].values()) == 3  # type: ignore[index]


def test_partitions_and_cache_that_cannot_be_as_asked_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "write", str(write_folder(tmp_path / "photos")), str(tmp_path / "set"), "--num-shards", "3"]
    assert main([*words, "--engine", "fake", "--processes", "4", "--partitions", "8", "--cache", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["partitions"] == 3
    assert "3 shards are at most 3 partitions" in told.err
    assert "3 partitions kept 3 of 4 workers busy" in told.err
    assert "--cache gained nothing: 3 partitions for 4 workers" in told.err
    assert main([*words, "--partitions", "0"]) == 2
    assert "partitions must be in [1, 100000] (got 0)" in capsys.readouterr().err


def test_a_report_shows_who_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "use.html"
    words = ["data", "write", str(write_folder(tmp_path / "photos")), str(tmp_path / "set"), "--num-shards", "3"]
    assert main([*words, "--processes", "2", "--report", str(tmp_path / "no" / "use.html")]) == 2
    assert not (tmp_path / "set").exists(), "it is refused before anything is written"
    assert main([*words, "--processes", "2", "--report", str(page)]) == 0
    assert f"what it used: {page}" in capsys.readouterr().err
    use = msgspec.json.decode(page.with_suffix(".json").read_bytes(), type=Use)
    packers = [each for each in use.watched if not each.worker.startswith("driver")]
    assert len(packers) == 2
    assert len(use.watched) == 3
    assert "Cluster use" in page.read_text()


def test_people_are_told_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, dest = str(write_folder(tmp_path / "photos")), str(tmp_path / "set")
    assert main(["data", "show", photos]) == 0
    assert f"next: pileus data write {photos} DEST" in capsys.readouterr().out
    assert main(["data", "write", photos, dest]) == 0
    told = capsys.readouterr()
    assert f"next: train on pictures of many sizes: pileus train photos_cnn --data {dest}" in told.out
    assert f"next: check it: pileus data verify {dest}" in told.out
    assert "6 images in 2 classes (folder)" in told.err
    assert main(["data", "verify", dest]) == 0
    assert "whole: 6 records in 1 shard" in capsys.readouterr().out


def test_damage_is_listed_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, dest = str(write_idx(tmp_path / "idx")), tmp_path / "set"
    main(["data", "write", source, str(dest)])
    shard = dest / "shard-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[30] ^= 1
    shard.write_bytes(content)
    capsys.readouterr()
    found = _json(capsys, "verify", str(dest), code=1)
    assert found["damage"] == [
        {"what": "checksum of the data does not hold", "shard": shard.name, "record": 0, "offset": 0}
    ]
    assert main(["data", "verify", str(dest)]) == 1
    assert "DAMAGED: 1 fault found" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["write", "embedded:strokez", "x"],
        ["write", "nowhere", "x"],
        ["write", "embedded:strokes", "x", "--kind", "folder"],
        ["write", "embedded:strokes", "x", "--resize", "big"],
        ["write", "embedded:strokes", "x", "--shard-size", "lots"],
        ["write", "embedded:strokes", "x", "--validation", "2"],
        ["verify", "nowhere"],
        ["show", "nowhere"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_leaves_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert 1 <= len(told.err.strip().splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_read() -> None:
    assert [parse_size(text) for text in ("5", "64MB", "1 gib", "2k")] == [5, 64 << 20, 1 << 30, 2048]
    assert parse_resize("64x48") == (64, 48)
    for text in ("", "MB", "-1", "1.5MB"):
        with pytest.raises(UsageError):
            parse_size(text)
    for text in ("64", "axb", "64x", "-1x3"):
        with pytest.raises(UsageError):
            parse_resize(text)
