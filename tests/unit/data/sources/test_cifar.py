from __future__ import annotations

import lzma
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pileus.data.ports import Encoded, Split
from pileus.data.sources import cifar
from pileus.data.sources.cifar import open_cifar
from pileus.errors import SourceError
from tests.contracts.tiny import noise, write_cifar


def _batch(**changes: object) -> dict[str, object]:
    return {"data": noise(4, 3072), "labels": [0, 1, 2, 0]} | changes


def _with(folder: Path, content: object) -> Path:
    return _with_bytes(folder, pickle.dumps(content, protocol=2))


def _with_bytes(folder: Path, content: bytes) -> Path:
    (write_cifar(folder, compress=False) / "data_batch_2").write_bytes(content)
    return folder


def test_batches_come_in_order_training_first(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / "data_batch_10").write_bytes(pickle.dumps(_batch(), protocol=2))
    source = open_cifar(tmp_path)
    names = ["data_batch_1", "data_batch_2", "data_batch_10", "test_batch"]
    assert [source.row(4 * number).id for number in range(4)] == [f"{name}/00000" for name in names]
    assert [source.row(position).split for position in (0, 11, 12)] == [Split.TRAIN, Split.TRAIN, Split.TEST]
    assert source.classes == ("cat", "dog", "frog")


def test_a_row_is_red_then_green_then_blue(tmp_path: Path) -> None:
    image = open_cifar(write_cifar(tmp_path))[5].image
    assert not isinstance(image, Encoded)
    assert np.array_equal(image, noise(4, 3072, seed=1)[1].reshape(3, 32, 32).transpose(1, 2, 0))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_batches_of_python_3_are_read(tmp_path: Path, protocol: int) -> None:
    write_cifar(tmp_path)
    content = pickle.dumps(_batch(labels=np.array([0, 1, 2, 0], ">i4")), protocol=protocol)
    if protocol == 5:
        with pytest.raises(SourceError, match=r"numpy.*_frombuffer"):
            open_cifar(_with_bytes(tmp_path / "5", content))
        return
    source = open_cifar(_with_bytes(tmp_path / "other", content))
    assert [source.row(position).label for position in range(4, 8)] == [0, 1, 2, 0]
    image = source[4].image
    assert not isinstance(image, Encoded)
    assert np.array_equal(image, noise(4, 3072)[0].reshape(3, 32, 32).transpose(1, 2, 0))


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a label out of range": (
        lambda f: _with(f, _batch(labels=[0, 1, 3, 0])),
        r"labels must be in \[0, 3\) \(.*data_batch_2 has 3 at row 3\)",
    ),
    "a label below": (lambda f: _with(f, _batch(labels=[0, 1, 1, -1])), "has -1 at row 4"),
    "a huge label": (lambda f: _with(f, _batch(labels=[0, 1, 1, 1 << 80])), "beyond 64 bits"),
    "labels that are text": (lambda f: _with(f, _batch(labels=["0"] * 4)), "list of integers"),
    "no labels": (lambda f: _with(f, {"data": noise(4, 3072)}), "must hold 'labels'"),
    "too few labels": (lambda f: _with(f, _batch(labels=[0])), "4 images and 1 labels"),
    "rows of another length": (lambda f: _with(f, _batch(data=noise(4, 3071))), r"got uint8 \(4, 3071\)"),
    "another number type": (lambda f: _with(f, _batch(data=noise(4, 3072).astype(np.int64))), r"got int64"),
    "a flat array": (lambda f: _with(f, _batch(data=noise(12288))), r"got uint8 \(12288,\)"),
    "no array": (lambda f: _with(f, _batch(data=b"123")), "got bytes"),
    "no images": (
        lambda f: _with_bytes(f, pickle.dumps(_batch(data=noise(0, 3072), labels=[]), protocol=4)),
        "0 images",
    ),
    "a list": (lambda f: _with(f, [1, 2]), "data_batch_2 must hold a dictionary"),
    "floats": (lambda f: _with(f, _batch(data=np.zeros((4, 3072)))), "not of integers"),
    "objects": (lambda f: _with(f, _batch(data=np.array([{}]))), "not of integers"),
    "truncated": (
        lambda f: _with_bytes(f, pickle.dumps(_batch(), protocol=2)[:-100]),
        "data_batch_2 is not a readable",
    ),
    "not a pickle": (lambda f: _with_bytes(f, b"<html>not found</html>"), "data_batch_2 is not a readable"),
    "empty": (lambda f: _with_bytes(f, b""), "data_batch_2 is not a readable"),
    "meta missing": (lambda f: _without(f, "batches.meta"), "no batches.meta"),
    "one class": (lambda f: _with_meta(f, {"label_names": ["cat"]}), "at least two"),
    "a class twice": (lambda f: _with_meta(f, {"label_names": ["cat", "cat"]}), "names a class twice"),
    "nothing": (lambda f: f, "holds no data_batch_1"),
    "damaged xz": (lambda f: _xz(f, lambda c: c[:50] + b"\xff" + c[51:]), "damaged xz"),
    "truncated xz": (lambda f: _xz(f, lambda c: c[:-30]), "ends early|damaged xz"),
}


def _without(folder: Path, name: str) -> Path:
    (write_cifar(folder) / name).unlink()
    return folder


def _with_meta(folder: Path, content: object) -> Path:
    (write_cifar(folder) / "batches.meta").write_bytes(pickle.dumps(content))
    return folder


def _xz(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    path = write_cifar(folder) / "data_batch_2.xz"
    path.write_bytes(change(path.read_bytes()))
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_by_file_and_row(tmp_path: Path, name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(SourceError, match=message):
        open_cifar(make(tmp_path))


def test_an_xz_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_MAX_BATCH_BYTES", 1 << 20)
    with pytest.raises(SourceError, match="unpacks to more than 1 MiB"):
        open_cifar(_xz(tmp_path, lambda content: lzma.compress(bytes(8 << 20), preset=0)))


class _Call:
    """Pickles to a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, getattr, np.load, pickle.loads, np.fromfile])
def test_a_pickle_that_calls_is_refused_by_name(tmp_path: Path, function: Callable[..., object], protocol: int) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps(_batch(data=_Call(function, f"touch {marker}")), protocol=protocol)
    with pytest.raises(SourceError, match=f"{function.__name__}.*refused"):
        open_cifar(_with_bytes(tmp_path / "cifar", content))
    assert not marker.exists()


HOSTILE: dict[str, bytes] = {
    "memory by a memo of four billion": b"\x80\x02Nr\xff\xff\xff\xff.",
    "memory by a byte array of a terabyte": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "memory by bytes of a terabyte": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b".",
    "memory by an array's shape": b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R.",
    "state for a function": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}(X\x08\0\0\0__code__NuNq\0\x86b.",
    "state for a class": b"\x80\x02cnumpy\nndarray\n}(X\x01\0\0\0aNub.",
    "a dtype with objects inside": b"\x80\x02cnumpy\ndtype\nX\x01\0\0\0O\x85R.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "an object outside": b"\x80\x02X\x01\0\0\0aQ.",
    "an old-style instance": b"(ios\nsystem\n.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="data_batch_2"):
        open_cifar(_with_bytes(tmp_path, HOSTILE[name]))


def test_the_hostile_pickles_are_well_formed() -> None:
    """All but those that promise more bytes than they have; else the test above would only show bad syntax."""
    well_formed = 0
    for content in HOSTILE.values():
        try:
            well_formed += bool(list(pickletools.genops(content)))
        except ValueError:
            continue
    assert well_formed == len(HOSTILE) - 2


def test_real_cifar_is_read(shared_data: Path, tmp_path: Path) -> None:
    for name in ("batches.meta", "test_batch.xz"):
        (tmp_path / name).symlink_to(shared_data / "cifar10" / name)
    source = open_cifar(tmp_path)
    assert len(source) == 10_000
    assert source.classes[3] == "cat"
    assert np.bincount(source.parts[0].labels).tolist() == [1000] * 10
    assert [source.row(position).label for position in range(5)] == [3, 8, 8, 0, 6]
