from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from pileus.errors import StoreError
from pileus.store import files, open_store, resolve_uri


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
