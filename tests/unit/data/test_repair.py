"""Repair from a source, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.cli.main import main
from tests.contracts.tiny import write_folder, write_idx

_SHARD = "shard-00001-of-00003.tfrecord"


def _json(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    assert main(["data", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("options", [[], ["--resize", "6x6", "--encode", "jpeg", "--channels", "1"]])
def test_the_bytes_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    photos, dest = str(write_folder(tmp_path / "photos")), tmp_path / "set"
    _json(capsys, "write", photos, str(dest), "--num-shards", "3", *options)
    before = {path.name: path.read_bytes() for path in dest.iterdir()}
    _flip(dest / _SHARD, 40)
    (dest / "shard-00002-of-00003.tfrecord").unlink()
    done = _json(capsys, "repair", str(dest), "--from", photos)
    assert [(one["shard"], one["record"]) for one in done["refetched"]] == [  # type: ignore[attr-defined]
        (_SHARD, 0),
        ("shard-00002-of-00003.tfrecord", 0),
        ("shard-00002-of-00003.tfrecord", 1),
    ]
    assert (done["dropped"], done["records"]) == ([], 6)
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == before


def test_another_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, dest = write_folder(tmp_path / "photos"), str(tmp_path / "set")
    _json(capsys, "write", str(photos), dest, "--num-shards", "3")
    _flip(tmp_path / "set" / _SHARD, 40)
    other = str(write_idx(tmp_path / "idx"))
    error = _json(capsys, "repair", dest, "--from", other, code=2)["error"]
    assert "only from the source that they were written from" in error["message"]  # type: ignore[index]


def test_what_was_dropped_stays_dropped_and_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, dest = str(write_folder(tmp_path / "photos")), str(tmp_path / "set")
    _json(capsys, "write", photos, dest, "--num-shards", "3")
    _flip(tmp_path / "set" / _SHARD, 40)
    assert main(["data", "repair", dest]) == 0
    told = capsys.readouterr().out
    assert f"DROPPED for good: 1\n  {_SHARD}, record 0, byte 0: checksum of the data does not hold" in told
    assert "now: 5 records" in told
    assert main(["data", "repair", dest]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    for words in (["write", photos, dest, "--num-shards", "3"], ["repair", dest, "--from", photos]):
        error = _json(capsys, *words, code=2)["error"]
        assert "repair" in error["message"]  # type: ignore[index]


def test_an_index_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "set"
    written = _json(capsys, "write", str(write_idx(tmp_path / "idx")), str(dest))
    (dest / "index.bin").unlink()
    assert main(["data", "show", str(dest)]) == 1
    assert f"pileus data index file:{dest}" in capsys.readouterr().err
    indexed = _json(capsys, "index", str(dest))
    assert {name: indexed[name] for name in ("records", "splits", "fingerprint")} == {
        name: written[name] for name in ("records", "splits", "fingerprint")
    }
    assert _json(capsys, "verify", str(dest))["ok"] is True
