from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.data.ports import Encoded, Split
from pileus.data.sources.folder import open_folder
from pileus.errors import SourceError
from tests.contracts.tiny import picture, write_folder, write_split_folder


def test_folders_are_the_classes_and_clutter_is_passed_over(tmp_path: Path) -> None:
    source = open_folder(write_folder(tmp_path))
    assert source.classes == ("cat", "dog")
    assert [source.row(position).id for position in range(len(source))] == [
        "cat/0.png",
        "cat/1.png",
        "cat/2.png",
        "dog/0.jpg",
        "dog/1.jpg",
        "dog/2.jpg",
    ]
    assert source.row(4) == (1, "dog/1.jpg", None)


def test_a_file_is_kept_as_it_is(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "dog" / "0.jpg").rename(tmp_path / "dog" / "0.JPEG")
    image = open_folder(tmp_path)[3].image
    assert isinstance(image, Encoded)
    assert image == ((tmp_path / "dog" / "0.JPEG").read_bytes(), "jpeg")


def test_the_content_says_the_format_not_the_name(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "cat" / "0.png").write_bytes(picture("JPEG"))
    image = open_folder(tmp_path)[0].image
    assert isinstance(image, Encoded)
    assert image.format == "jpeg"


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "cat" / "old").mkdir()
    (tmp_path / "cat" / "old" / "9.png").write_bytes(picture("PNG"))
    assert open_folder(tmp_path).row(3) == (0, "cat/old/9.png", None)


def test_split_folders_give_the_split(tmp_path: Path) -> None:
    source = open_folder(write_split_folder(tmp_path))
    splits = {source.row(position).id: source.row(position).split for position in range(len(source))}
    assert len(splits) == 18
    assert splits["train/cat/0.png"] == Split.TRAIN
    assert splits["val/dog/1.jpg"] == Split.VALIDATION
    assert splits["test/cat/2.png"] == Split.TEST


def _without(folder: Path, *names: str) -> Path:
    for name in names:
        for path in sorted((folder / name).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (folder / name).rmdir()
    return folder


def _with_file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_bytes(content)
    return folder


def _with_folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    return folder


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "one class": (
        lambda f: _without(write_folder(f), "dog"),
        r"at least two class folders are needed.*got only 'cat'",
    ),
    "no class": (lambda f: _without(write_folder(f), "dog", "cat"), r"got none"),
    "an empty class": (
        lambda f: _with_folder(write_folder(f), "frog"),
        r"every class needs pictures \(.*frog has none",
    ),
    "a text file": (
        lambda f: _with_file(write_folder(f), "cat/notes.txt", b"notes"),
        r"cat/notes\.txt is not a picture",
    ),
    "the same split twice": (lambda f: _with_folder(write_split_folder(f), "validation"), "both the validation split"),
    "a class that is not trained on": (
        lambda f: _with_file(write_split_folder(f), "test/frog/0.png", picture("PNG")),
        r"every class needs training pictures \(.*test/frog holds 'frog'",
    ),
    "a name that is no text": (
        lambda f: _with_file(write_folder(f), os.fsdecode(b"cat/bad-\xff.png"), picture("PNG")),
        r"bad-\\udcff\.png.*not UTF-8",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_by_file(tmp_path: Path, name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(SourceError, match=message):
        open_folder(make(tmp_path))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"not a picture"])
def test_a_file_that_is_no_picture_is_told_when_it_is_read(tmp_path: Path, content: bytes) -> None:
    source = open_folder(_with_file(write_folder(tmp_path), "cat/0.png", content))
    with pytest.raises(SourceError, match=r"cat/0\.png is not a picture"):
        source[0]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    source = open_folder(write_folder(tmp_path))
    (tmp_path / "cat" / "0.png").unlink()
    with pytest.raises(SourceError, match=r"cat/0\.png cannot be read"):
        source[0]
