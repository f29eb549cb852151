from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.errors import SourceError, StoreError
from pileus.store import files, open_store, resolve_uri
from pileus.store.files import FileStore


@pytest.mark.parametrize("name", ["plain", "with space", "with #", "with ?", "50%", "a%20b", "ünï", "a:b"])
def test_a_uri_leads_back_to_its_folder(tmp_path: Path, name: str) -> None:
    store = open_store(tmp_path / name)
    store.put("key", b"value")
    assert open_store(store.uri).get("key").content == b"value"
    assert resolve_uri(str(tmp_path / name)) == store.uri == resolve_uri(store.uri)


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("runs") == f"file:{tmp_path}/runs"


def test_nothing_is_made_before_the_first_put(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new")
    assert store.list() == []
    store.delete("a")
    assert not (tmp_path / "new").exists()


def test_what_a_killed_writer_left_aside_is_no_value(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1-2-key").write_bytes(b"half")
    store = open_store(tmp_path)
    assert store.list() == []
    store.put("key", b"whole")
    assert store.list() == ["key"]


def test_a_place_that_stays_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOCK_DEADLINE_S", 0.02)
    store = open_store(tmp_path)
    version = store.put("key", b"one")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="stayed locked"):
            store.swap("key", b"two", version)
        with pytest.raises(StoreError, match="stayed locked"):
            store.put("key", b"two")
    finally:
        os.close(descriptor)
    assert store.get("key").content == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_unreadable_folder_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is put into os.walk's own scandir."""
    open_store(tmp_path).put("a/b", b"")

    def refused(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StoreError, match="permission denied"):
        open_store(tmp_path).list()


def test_chunks_become_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_WRITE_OUT_BYTES", 100)
    buffer = bytearray(70)

    def chunks() -> Iterator[memoryview]:
        """All in one place, as they may be: a chunk is done with when the next is asked for."""
        for number in range(9):
            buffer[:] = bytes([number]) * 70
            yield memoryview(buffer)

    store = FileStore(tmp_path / "new")
    store.put("a/b", b"before")
    store.put_chunks("a/b", chunks())
    assert store.get("a/b").content == b"".join(bytes([number]) * 70 for number in range(9))
    store.put_chunks("none", iter(()))
    assert store.get("none").content == b""


@pytest.mark.parametrize("unnamed", [True, False])
def test_chunks_that_end_in_an_error_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.setattr(files, "_unnamed_file", lambda folder: None)

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise SourceError("a bad picture")

    store = FileStore(tmp_path)
    store.put("key", b"before")
    with pytest.raises(SourceError, match="a bad picture"):
        store.put_chunks("key", chunks())
    assert store.get("key").content == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
