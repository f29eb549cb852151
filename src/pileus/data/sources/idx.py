"""MNIST-style idx files: pairs of images (magic 2051) and labels (magic 2049), plain or .gz, big-endian.

A folder may hold several pairs; a word of the file names says the split: train, validation or val, t10k or test. A
pair named otherwise has none.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Split
from pileus.data.sources.arrays import ArraySource, Part
from pileus.data.sources.folder import SPLIT_NAMES
from pileus.errors import SourceError
from pileus.spec.preprocessing import Drawing

KIND = "idx"
IMAGES_NAME = re.compile(r"(?P<part>.*?)[-_.]?images?[-_.]idx3[-_.]ubyte(\.gz)?")

_IMAGES_MAGIC, _LABELS_MAGIC = 2051, 2049
_MAX_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 24
_MIN_CLASSES = 10


def find_images(place: Path) -> list[Path]:
    """The images files of a folder, or the place itself; a plain file goes before its .gz."""
    candidates = [place] if place.is_file() else sorted(place.iterdir())
    found: dict[str, Path] = {}
    for path in candidates:
        if IMAGES_NAME.fullmatch(path.name) and not path.name.startswith("."):
            found.setdefault(path.name.removesuffix(".gz"), path)
    return list(found.values())


def open_idx(place: Path) -> ArraySource:
    """All pairs of a folder, or the pair of one images file."""
    found = find_images(place)
    if not found:
        raise SourceError(f"{place} holds no idx images such as train-images-idx3-ubyte.gz; check the path or --kind.")
    parts = [_read_part(images) for images in found]
    shapes = {part.images.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise SourceError(f"all idx images in {place} must have one size (got {sorted(shapes)}); separate them.")
    height, width, _ = shapes.pop()
    scale = min(height, width) / 28
    return ArraySource(
        kind=KIND,
        classes=_classes([(found[n].name, part) for n, part in enumerate(parts)]),
        parts=tuple(sorted(parts, key=_order)),
        preprocessing=Drawing(height=height, width=width, box=20.0 * scale, stroke_width=2.2 * scale),
    )


def _order(part: Part) -> tuple[int, str]:
    return (len(Split) if part.split is None else int(part.split), part.name)


def _read_part(images_path: Path) -> Part:
    match = IMAGES_NAME.fullmatch(images_path.name)
    assert match is not None
    labels_path = _labels_beside(images_path)
    images_NHW = _read_array(images_path, _IMAGES_MAGIC)
    labels = _read_array(labels_path, _LABELS_MAGIC)
    if len(images_NHW) != len(labels):
        raise SourceError(
            f"each image needs one label ({images_path} has {len(images_NHW)} images, {labels_path.name} "
            f"{len(labels)} labels); get the pair that belongs together."
        )
    name = match["part"] or "images"
    return Part(name=name, split=_split_of(name), images=images_NHW[..., None], labels=labels.astype(np.int64))


def _split_of(name: str) -> Split | None:
    """By a word of the name, as `emnist-digits-train`."""
    words = {**SPLIT_NAMES, "t10k": Split.TEST}
    return next((words[word] for word in re.split(r"[-_.]", name.lower()) if word in words), None)


def _labels_beside(images_path: Path) -> Path:
    plain = images_path.name.removesuffix(".gz")
    name = re.sub(r"idx3(?=[-_.]ubyte$)", "idx1", re.sub(r"image(?=s?[-_.]idx3)", "label", plain))
    for candidate in (images_path.with_name(name), images_path.with_name(name + ".gz")):
        if candidate.is_file():
            return candidate
    raise SourceError(f"{images_path} has no labels beside it ({name} or {name}.gz is absent); add that file.")


class _Head(NamedTuple):
    magic: int
    kind: str
    dimensions: int


_HEADS = {_IMAGES_MAGIC: _Head(_IMAGES_MAGIC, "images", 3), _LABELS_MAGIC: _Head(_LABELS_MAGIC, "labels", 1)}


def _read_array(path: Path, magic: int) -> NDArray[np.uint8]:
    """The array of one file, whose head must name `magic`."""
    expected = _HEADS[magic]
    head_bytes = 4 + 4 * expected.dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(head_bytes)
            shape = _shape(head, expected, path)
            content = file.read(0)
            size = int(np.prod(shape, dtype=np.uint64))
            chunks = [content]
            while size and (chunk := file.read(min(size, _CHUNK_BYTES))):
                chunks.append(chunk)
                size -= len(chunk)
            more = file.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is a damaged gzip file ({error}); get it again.") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror or error}); check the file.") from error
    if size or more:
        what = f"ends {size} bytes early" if size else "goes on"
        raise SourceError(f"{path} {what} after its {shape[0]} {expected.kind}; it is damaged, get it again.")
    return np.frombuffer(b"".join(chunks), np.uint8).reshape(shape)


def _shape(head: bytes, expected: _Head, path: Path) -> tuple[int, ...]:
    if len(head) < 4 + 4 * expected.dimensions:
        raise SourceError(f"{path} is too short for an idx file of {expected.kind}; get it again.")
    magic, *shape = struct.unpack(f">{1 + expected.dimensions}I", head)
    if magic != expected.magic:
        other = _HEADS.get(magic)
        got = f"{magic}: that is a file of {other.kind}" if other else str(magic)
        raise SourceError(
            f"{path} must begin with {expected.magic}, the mark of idx {expected.kind} (got {got}); check it."
        )
    if 0 in shape or int(np.prod(shape, dtype=np.float64)) > _MAX_BYTES:
        raise SourceError(f"{path} names an impossible size {tuple(shape)}; it is empty or damaged, get it again.")
    return tuple(shape)


def _classes(parts: list[tuple[str, Part]]) -> tuple[str, ...]:
    """Digits, or as many as there are labels. A label above 9 with a gap below it is out of range."""
    present = np.unique(np.concatenate([part.labels for _, part in parts]))
    above = present[present >= _MIN_CLASSES]
    led_up = above == np.arange(_MIN_CLASSES, _MIN_CLASSES + len(above))
    if not led_up.all():
        bad = int(above[~led_up][0])
        name, row = next((n, int(np.flatnonzero(p.labels == bad)[0])) for n, p in parts if (p.labels == bad).any())
        raise SourceError(
            f"labels must count up from 0 without a gap (the labels of {name} have {bad} at row {row + 1}, "
            f"and none has {bad - 1}); the file is mislabelled or damaged."
        )
    if len(present) < 2:
        raise SourceError(f"at least two classes are needed (all labels of {parts[0][0]} are {present[0]}).")
    return tuple(str(number) for number in range(max(_MIN_CLASSES, int(present[-1]) + 1)))
