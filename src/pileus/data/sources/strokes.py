"""`embedded:strokes`: 7,494 digits as the pen drew them, by 30 writers (see data/embedded/NOTICE).

Split by writer, never by sample: nobody's hand is both learned from and tested on.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import Row, source_hash
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing

KIND = "embedded:strokes"
CLASSES = tuple("0123456789")

TEST_WRITERS = frozenset({3, 7, 16, 19, 22, 27})
VALIDATION_WRITERS = frozenset({8, 11, 13, 20})
"""Chosen once, before any model: writers 1 to 30 sorted by SHA-256 of "writer01" and so on; the first six
are for test, the next four for validation, the rest for training. A table, so that it can never drift."""


class DrawnDigit(NamedTuple):
    """One digit as it was drawn."""

    strokes: list[NDArray[np.int16]]
    """Each (n, 2): x to the right, y DOWNWARDS, in units of the tablet (0 to 500)."""
    label: int
    id: str
    """"writer07/0123": the writer and the position among the writer's digits."""


def split_of_writer(writer: int) -> Split:
    if writer in TEST_WRITERS:
        return Split.TEST
    return Split.VALIDATION if writer in VALIDATION_WRITERS else Split.TRAIN


def load_strokes(split: Split | None = None) -> list[DrawnDigit]:
    """The digits of one split, or all, in the order of the original file."""
    packed = _Packed.load()
    writers = packed.writers.tolist()
    return [
        packed.digit(position)
        for position, writer in enumerate(writers)
        if split is None or split_of_writer(writer) == split
    ]


def open_strokes() -> StrokesSource:
    return StrokesSource(Drawing())


class StrokesSource:
    """The strokes rasterised one by one as they are asked for."""

    kind = KIND
    classes = CLASSES

    def __init__(self, preprocessing: Drawing) -> None:
        self.preprocessing: Drawing = preprocessing
        self._packed = _Packed.load()

    def __reduce__(self) -> tuple[type[StrokesSource], tuple[Drawing]]:
        return StrokesSource, (self.preprocessing,)

    @cached_property
    def fingerprint(self) -> str:
        hashed = source_hash(self.kind, self.preprocessing, sorted(TEST_WRITERS), sorted(VALIDATION_WRITERS))
        packed = self._packed
        for column in (packed.labels, packed.writers, packed.stroke_start, packed.point_start, packed.points):
            hashed.update(np.ascontiguousarray(column).data)
        return hashed.hexdigest()

    def __len__(self) -> int:
        return len(self._packed.labels)

    def __getitem__(self, index: int) -> Sample:
        label, sample_id, split = self.row(index)
        image_HWC = rasterise(self._packed.digit(index).strokes, self.preprocessing)
        return Sample(image_HWC, label, sample_id, split)

    def row(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        packed = self._packed
        split = split_of_writer(int(packed.writers[index]))
        return Row(int(packed.labels[index]), packed.id(index), split)


@dataclass(frozen=True, eq=False)
class _Packed:
    """The shipped file, as scripts/pack_strokes.py lays it out, with differences summed up."""

    labels: NDArray[np.uint8]
    writers: NDArray[np.uint8]
    serials: NDArray[np.int64]
    """(D,) position of each digit among its writer's."""
    stroke_start: NDArray[np.int64]
    """(D + 1,) digit d has the strokes [stroke_start[d], stroke_start[d + 1])."""
    point_start: NDArray[np.int64]
    """(S + 1,) stroke s has the points [point_start[s], point_start[s + 1])."""
    points: NDArray[np.int16]
    """(P, 2)"""

    @staticmethod
    def load() -> _Packed:
        content = (files("pileus") / "data" / "embedded" / "strokes.npz").read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as packed:
            labels, writers = packed["labels"], packed["writers"]
            stroke_start = np.concatenate([[0], np.cumsum(packed["num_strokes"], dtype=np.int64)])
            point_start = np.concatenate([[0], np.cumsum(packed["num_points"], dtype=np.int64)])
            summed = np.cumsum(packed["deltas"].T, axis=0, dtype=np.int64)
        serials = np.zeros(len(writers), np.int64)
        for writer in np.unique(writers):
            own = writers == writer
            serials[own] = np.arange(own.sum())
        before = np.concatenate([np.zeros((1, 2), np.int64), summed])[point_start[:-1]]
        points = summed - np.repeat(before, np.diff(point_start), axis=0)
        return _Packed(labels, writers, serials, stroke_start, point_start, points.astype(np.int16))

    def id(self, position: int) -> str:
        return f"writer{self.writers[position]:02}/{self.serials[position]:04}"

    def digit(self, position: int) -> DrawnDigit:
        bounds = self.point_start[self.stroke_start[position] : self.stroke_start[position + 1] + 1]
        strokes = np.split(self.points[bounds[0] : bounds[-1]], bounds[1:-1] - bounds[0])
        return DrawnDigit(strokes, int(self.labels[position]), self.id(position))
