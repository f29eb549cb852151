from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pileus.data.ports import Encoded, Split
from pileus.data.sources.idx import open_idx
from pileus.errors import SourceError
from pileus.spec.preprocessing import Drawing
from tests.contracts.tiny import idx_bytes, noise, write_idx

_IMAGES = "train-images-idx3-ubyte"
_LABELS = "train-labels-idx1-ubyte"


def _plain(folder: Path) -> Path:
    return write_idx(folder, compress=False)


def _rewritten(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    path = _plain(folder) / name
    path.write_bytes(change(path.read_bytes()))
    return folder


def test_the_file_names_say_the_split(tmp_path: Path) -> None:
    source = open_idx(write_idx(tmp_path))
    assert [source.row(position).split for position in (0, 11, 12, 16)] == [
        Split.TRAIN,
        Split.TRAIN,
        Split.TEST,
        Split.TEST,
    ]
    assert source.row(13).id == "t10k/00001"
    assert len(source) == 17


def test_images_keep_their_rows_and_columns(tmp_path: Path) -> None:
    image = open_idx(write_idx(tmp_path))[2].image
    assert not isinstance(image, Encoded)
    assert np.array_equal(image[:, :, 0], noise(12, 4, 5, seed=12)[2])


def test_digits_are_the_least_that_labels_are_taken_for(tmp_path: Path) -> None:
    assert open_idx(write_idx(tmp_path)).classes == tuple("0123456789")


def test_more_labels_than_digits_are_counted(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, train=30, compress=False)
    (folder / _LABELS).write_bytes(idx_bytes(2049, np.arange(30).astype(np.uint8) % 12))
    assert open_idx(folder).classes == tuple(str(number) for number in range(12))


def test_frames_of_28_are_drawn_as_mnists(tmp_path: Path) -> None:
    (tmp_path / _IMAGES).write_bytes(idx_bytes(2051, noise(2, 28, 28)))
    (tmp_path / _LABELS).write_bytes(idx_bytes(2049, np.array([0, 1], np.uint8)))
    assert open_idx(tmp_path).preprocessing == Drawing()


def test_dots_in_names_and_other_parts_are_known(tmp_path: Path) -> None:
    (tmp_path / "letters.images.idx3-ubyte").write_bytes(idx_bytes(2051, noise(2, 3, 3)))
    (tmp_path / "letters.labels.idx1-ubyte").write_bytes(idx_bytes(2049, np.array([0, 1], np.uint8)))
    assert open_idx(tmp_path).row(1) == (1, "letters/00001", None)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("emnist-digits-train", Split.TRAIN),
        ("kmnist.test", Split.TEST),
        ("val", Split.VALIDATION),
        ("interval", None),
        ("latest", None),
    ],
)
def test_a_word_of_the_name_says_the_split(tmp_path: Path, name: str, split: Split | None) -> None:
    (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(2051, noise(2, 3, 3)))
    (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(2049, np.array([0, 1], np.uint8)))
    assert open_idx(tmp_path).row(0) == (0, f"{name}/00000", split)


def test_a_plain_file_goes_before_its_gzip(tmp_path: Path) -> None:
    write_idx(tmp_path)
    write_idx(tmp_path, compress=False)
    assert len(open_idx(tmp_path)) == 17


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "labels as images": (
        lambda f: _rewritten(f, _IMAGES, lambda c: idx_bytes(2049, noise(12))),
        rf"{_IMAGES} must begin with 2051.*got 2049: that is a file of labels",
    ),
    "no idx at all": (
        lambda f: _rewritten(f, _LABELS, lambda c: b"<html>not found</html>"),
        rf"{_LABELS} must begin with 2049",
    ),
    "truncated images": (
        lambda f: _rewritten(f, _IMAGES, lambda c: c[:-7]),
        rf"{_IMAGES} ends 7 bytes early after its 12 images",
    ),
    "more than the head says": (
        lambda f: _rewritten(f, _LABELS, lambda c: c + b"\0"),
        rf"{_LABELS} goes on after its 12 labels",
    ),
    "an empty file": (lambda f: _rewritten(f, _IMAGES, lambda c: b""), rf"{_IMAGES} is too short"),
    "no images": (
        lambda f: _rewritten(f, _IMAGES, lambda c: struct.pack(">IIII", 2051, 0, 28, 28)),
        rf"{_IMAGES} names an impossible size \(0, 28, 28\)",
    ),
    "a bomb": (
        lambda f: _rewritten(f, _IMAGES, lambda c: struct.pack(">IIII", 2051, 1 << 31, 1 << 31, 1 << 31)),
        "impossible size",
    ),
    "another number of labels": (
        lambda f: _rewritten(f, _LABELS, lambda c: idx_bytes(2049, np.zeros(11, np.uint8))),
        rf"{_IMAGES} has 12 images, {_LABELS} 11 labels",
    ),
    "a label out of range": (
        lambda f: _rewritten(f, _LABELS, lambda c: c[:10] + b"\xc8" + c[11:]),
        rf"the labels of {_IMAGES} have 200 at row 3",
    ),
    "one class only": (lambda f: _one_class(f), "at least two classes are needed"),
    "labels missing": (lambda f: _without(f, _LABELS), rf"{_IMAGES} has no labels beside it"),
    "sizes that differ": (
        lambda f: _rewritten(f, _IMAGES, lambda c: idx_bytes(2051, noise(12, 6, 6))),
        "must have one size",
    ),
    "damaged gzip": (lambda f: _damaged_gzip(f, flip=True), r"ubyte\.gz is a damaged gzip file"),
    "truncated gzip": (lambda f: _damaged_gzip(f, flip=False), r"ubyte\.gz is a damaged gzip file"),
    "gzip in name only": (lambda f: _renamed(f), r"ubyte\.gz is a damaged gzip file"),
    "nothing": (lambda f: f, "holds no idx images"),
}


def _without(folder: Path, name: str) -> Path:
    (_plain(folder) / name).unlink()
    return folder


def _one_class(folder: Path) -> Path:
    _plain(folder)
    for name, count in ((_LABELS, 12), ("t10k-labels-idx1-ubyte", 5)):
        (folder / name).write_bytes(idx_bytes(2049, np.zeros(count, np.uint8)))
    return folder


def _damaged_gzip(folder: Path, *, flip: bool) -> Path:
    path = write_idx(folder) / f"{_IMAGES}.gz"
    content = bytearray(path.read_bytes())
    if flip:
        content[-6] ^= 0xFF
    else:
        del content[-40:]
    path.write_bytes(content)
    return folder


def _renamed(folder: Path) -> Path:
    path = _plain(folder) / _IMAGES
    path.rename(path.with_name(f"{_IMAGES}.gz"))
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_by_file_and_row(tmp_path: Path, name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(SourceError, match=message):
        open_idx(make(tmp_path))


def test_real_mnist_is_read_whole(shared_data: Path) -> None:
    source = open_idx(shared_data / "mnist")
    assert len(source) == 70_000
    train, test = source.parts
    assert (train.images.shape, test.images.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    content = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert test.images.tobytes() == content[16:]
