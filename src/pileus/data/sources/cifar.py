"""CIFAR-10 python batches, plain or .xz: data_batch_1 and on (train), test_batch (test), batches.meta.

The batches are pickles: see pickles.py for how they are read without trust.
"""

from __future__ import annotations

import lzma
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Split
from pileus.data.sources.arrays import ArraySource, Part
from pileus.data.sources.pickles import PickledArray, load_arrays, text_of
from pileus.errors import SourceError
from pileus.spec.preprocessing import Picture

KIND = "cifar"
BATCH_NAME = re.compile(r"(data_batch_(?P<number>\d{1,3})|test_batch)(\.xz)?")
META_NAME = "batches.meta"

_HEIGHT = _WIDTH = 32
_CHANNELS: Literal[3] = 3
_ROW_BYTES = _HEIGHT * _WIDTH * _CHANNELS
_MAX_BATCH_BYTES = 256 << 20
_MAX_XZ_MEMORY_BYTES = 256 << 20
_MAX_CLASSES = 10_000


def find_batches(place: Path) -> list[Path]:
    """The batches of a folder, training first; a plain file goes before its .xz."""
    found: dict[str, Path] = {}
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        if BATCH_NAME.fullmatch(path.name):
            found.setdefault(path.name.removesuffix(".xz"), path)
    return sorted(found.values(), key=_order)


def _order(path: Path) -> tuple[bool, int]:
    match = BATCH_NAME.fullmatch(path.name)
    assert match is not None
    return match["number"] is None, int(match["number"] or 0)


def open_cifar(place: Path) -> ArraySource:
    """All batches of a folder, in memory (180 MB for CIFAR-10)."""
    batches = find_batches(place)
    if not batches:
        raise SourceError(f"{place} holds no data_batch_1 or test_batch (plain or .xz); check the path or --kind.")
    classes = _read_classes(place)
    with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as pool:
        parts = tuple(pool.map(lambda path: _read_batch(path, classes), batches))
    return ArraySource(
        kind=KIND,
        classes=classes,
        parts=parts,
        preprocessing=Picture(height=_HEIGHT, width=_WIDTH, channels=_CHANNELS),
    )


def _read_classes(place: Path) -> tuple[str, ...]:
    path = next((p for p in (place / META_NAME, place / f"{META_NAME}.xz") if p.is_file()), None)
    if path is None:
        raise SourceError(f"{place} has batches but no {META_NAME} with the class names; add that file.")
    names = _load(path).get("label_names")
    if not isinstance(names, list) or not 2 <= len(names) <= _MAX_CLASSES:
        raise SourceError(f"{path} must hold a list 'label_names' of at least two; get it again.")
    classes = tuple(text_of(name) for name in names)
    if len(set(classes)) != len(classes):
        raise SourceError(f"{path} names a class twice; get it again.")
    return classes


def _read_batch(path: Path, classes: tuple[str, ...]) -> Part:
    content = _load(path)
    rows, labels = content.get("data"), content.get("labels")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != _ROW_BYTES:
        got = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise SourceError(f"{path} must hold 'data', uint8 of shape (n, {_ROW_BYTES}) (got {got}); get it again.")
    labels_N = _labels(labels, path)
    if len(labels_N) != len(rows) or not len(rows):
        raise SourceError(f"{path} has {len(rows)} images and {len(labels_N)} labels; get it again.")
    wrong = np.flatnonzero((labels_N < 0) | (labels_N >= len(classes)))
    if len(wrong):
        raise SourceError(
            f"labels must be in [0, {len(classes)}) ({path} has {labels_N[wrong[0]]} at row {wrong[0] + 1}); "
            "the file is mislabelled or damaged."
        )
    images_NHWC = np.ascontiguousarray(rows.reshape(-1, _CHANNELS, _HEIGHT, _WIDTH).transpose(0, 2, 3, 1))
    name = path.name.removesuffix(".xz")
    split = Split.TEST if name == "test_batch" else Split.TRAIN
    return Part(name=name, split=split, images=images_NHWC, labels=labels_N)


def _labels(labels: object, path: Path) -> NDArray[np.int64]:
    if not isinstance(labels, list | np.ndarray) or not all(isinstance(one, int | np.integer) for one in labels):
        raise SourceError(f"{path} must hold 'labels', a list of integers; get it again.")
    try:
        return np.array(labels, np.int64)
    except OverflowError as error:
        raise SourceError(f"{path} has a label beyond 64 bits; it is damaged, get it again.") from error


def _load(path: Path) -> dict[str, object]:
    """The dictionary that a file holds, with text keys."""
    loaded = load_arrays(_decompressed(path), str(path))
    if not isinstance(loaded, dict):
        raise SourceError(f"{path} must hold a dictionary (got {type(loaded).__name__}); get it again.")
    return {text_of(key): value.array if isinstance(value, PickledArray) else value for key, value in loaded.items()}


def _decompressed(path: Path) -> bytes:
    try:
        if path.suffix != ".xz":
            with path.open("rb") as file:
                content = file.read(_MAX_BATCH_BYTES + 1)
        else:
            decompressor = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY_BYTES)
            with path.open("rb") as file:
                content = decompressor.decompress(file.read(_MAX_BATCH_BYTES), _MAX_BATCH_BYTES + 1)
            if not decompressor.eof and len(content) <= _MAX_BATCH_BYTES:
                raise SourceError(f"{path} ends early: it is a truncated xz file; get it again.")
    except (lzma.LZMAError, EOFError) as error:
        raise SourceError(f"{path} is a damaged xz file ({error}); get it again.") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error}); check the file.") from error
    if len(content) > _MAX_BATCH_BYTES:
        raise SourceError(f"{path} unpacks to more than {_MAX_BATCH_BYTES >> 20} MiB, too much for a batch.")
    return content
