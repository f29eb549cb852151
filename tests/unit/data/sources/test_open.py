from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.data.sources.open import open_source
from pileus.errors import SourceError, UsageError
from tests.contracts.tiny import write_cifar, write_folder, write_idx, write_manifest


def test_a_path_needs_no_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "photos #1 at 100%")
    monkeypatch.chdir(tmp_path)
    assert open_source("photos #1 at 100%").kind == "folder"
    assert open_source(f"file:{tmp_path}/photos%20%231%20at%20100%25").kind == "folder"


def test_a_kind_can_be_said(tmp_path: Path) -> None:
    write_idx(write_folder(tmp_path))
    assert open_source(str(tmp_path)).kind == "idx"
    assert open_source(str(tmp_path), "folder").kind == "folder"


def test_a_folder_with_a_manifest_is_read_by_it(tmp_path: Path) -> None:
    write_manifest(tmp_path).rename(tmp_path / "manifest.csv")
    assert open_source(str(tmp_path)).kind == "manifest"


BAD: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "an unknown kind": (
        lambda p: open_source(str(p), "idxx"),
        UsageError,
        r"kind must be one of auto, idx, .*got 'idxx'\); did you mean idx",
    ),
    "unknown embedded data": (
        lambda p: open_source("embedded:stroke"),
        UsageError,
        r"got 'stroke'\); did you mean strokes\?",
    ),
    "a kind for embedded data": (
        lambda p: open_source("embedded:strokes", "folder"),
        UsageError,
        "leave --kind out",
    ),
    "another scheme": (lambda p: open_source("gopher://host/data"), UsageError, "a path, file: URI or embedded:NAME"),
    "a path that is absent": (
        lambda p: open_source(str(write_folder(p / "photos").with_name("photo"))),
        SourceError,
        r"photo does not exist; did you mean photos\?",
    ),
    "an empty folder": (lambda p: open_source(str(p)), SourceError, "holds no labelled images"),
    "a file of another kind": (
        lambda p: open_source(str(write_folder(p) / "README.txt")),
        SourceError,
        r"README\.txt is no list of images",
    ),
    "a file for a kind of folder": (
        lambda p: open_source(str(write_folder(p) / "README.txt"), "cifar"),
        SourceError,
        "must be a folder",
    ),
    "a manifest that is not there": (
        lambda p: open_source(str(write_folder(p)), "manifest"),
        SourceError,
        r"holds none of manifest\.csv",
    ),
    "idx that is not there": (lambda p: open_source(str(write_cifar(p)), "idx"), SourceError, "no idx images"),
    "records that are not there": (lambda p: open_source(str(p), "records"), SourceError, "no record set"),
    "a write that was not finished": (
        lambda p: (p.joinpath("shard-00000-of-00001.tfrecord").write_bytes(b""), open_source(str(p))),
        SourceError,
        "was not finished",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_opened_is_told(tmp_path: Path, name: str) -> None:
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call(tmp_path)
