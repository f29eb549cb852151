"""What people draw that is no digit, made in part from the pen strokes of `embedded:strokes`.

A classifier that has seen digits alone calls everything one of them. Trained with a class of examples of what is none,
it knows those too, and others that it has never seen ("outlier exposure", Hendrycks et al., ICLR 2019). Photographs,
clothes, Greek letters and figures are not among these: they are what rejection is tested with.

`embedded:outliers` are to be rejected; `embedded:several` are to be cut: two digits, or one with a part of another.

Made from the strokes of training writers for training, of validation writers for validation, and so on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Sample, Split
from pileus.data.random import stream, uniforms
from pileus.data.sources import scribbles
from pileus.data.sources.letters import letter
from pileus.data.sources.ports import Row, source_hash
from pileus.data.sources.scribbles import Chances, Lines
from pileus.data.sources.strokes import DrawnDigit, load_strokes, open_strokes
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing

DIGITS = "0123456789"
_VERSION = 2
"""Of how they are made; goes into the fingerprint, and rises with every change below, in `scribbles` or `letters`."""
_NUM_CHANCES = 256

TURNED = {90: "234567", 180: "347", 270: "234567"}
_MIRRORED = "3679"
"""Digits that are none any more when turned clockwise by so many degrees, or mirrored."""


class Made(NamedTuple):
    """What a source is of."""

    name: str
    """The class of all of them, which is the last."""
    makers: tuple[str, ...]
    """How often each."""
    counts: Mapping[Split, int]
    stream: int


def open_outliers() -> MadeSource:
    return MadeSource("embedded:outliers")


def open_several() -> MadeSource:
    return MadeSource("embedded:several")


class MadeSource:
    """Each is drawn as it is asked for, a pure function of its number."""

    preprocessing = Drawing()

    def __init__(self, kind: str) -> None:
        """`kind`: of MADE."""
        self.kind, self._made = kind, MADE[kind]
        self.classes = (*DIGITS, self._made.name)

    def __reduce__(self) -> tuple[type[MadeSource], tuple[str]]:
        return MadeSource, (self.kind,)

    @cached_property
    def fingerprint(self) -> str:
        hashed = source_hash(self.kind, _VERSION, {split.name: count for split, count in self._made.counts.items()})
        hashed.update(open_strokes().fingerprint.encode())
        return hashed.hexdigest()

    def __len__(self) -> int:
        return sum(self._made.counts.values())

    def __getitem__(self, index: int) -> Sample:
        label, sample_id, split = self.row(index)
        assert split is not None
        return Sample(self.picture(index, split, self.preprocessing), label, sample_id, split)

    def row(self, index: int) -> Row:
        position = index
        for split, count in self._made.counts.items():
            if 0 <= position < count:
                return Row(len(DIGITS), f"{split.name.lower()}/{position:05}", split)
            position -= count
        raise IndexError(f"sample {index} of {len(self)}")

    def kind_of(self, index: int) -> str:
        """How the sample is made, in a word or two."""
        return self._chances(index).pick(self._made.makers)

    def picture(self, index: int, split: Split, spec: Drawing) -> NDArray[np.uint8]:
        """(H, W, 1), in any size."""
        chances = self._chances(index)
        make = chances.pick(self._made.makers)
        if make in _PICTURES:
            noise_HW = self._draws(1, index, spec.height * spec.width).reshape(spec.height, spec.width)
            return _PICTURES[make](chances, noise_HW)[:, :, None]
        lines = _DRAWINGS[make](chances) if make in _DRAWINGS else _FROM_DIGITS[make](chances, _digits(split))
        return rasterise(lines, spec)

    def _chances(self, index: int) -> Chances:
        return Chances(self._draws(0, index, _NUM_CHANCES))

    def _draws(self, purpose: int, index: int, count: int) -> NDArray[np.float64]:
        (draws,) = uniforms(stream(self._made.stream, purpose), np.array([index], np.uint64), count)
        return np.asarray(draws)


@functools.lru_cache(maxsize=3)
def _digits(split: Split) -> list[DrawnDigit]:
    return load_strokes(split)


def _unit(digit: DrawnDigit) -> Lines:
    """Its strokes with a height (or width, where that is more) of 1, from 0."""
    points = np.concatenate(digit.strokes)
    low = points.min(axis=0)
    return [(stroke - low) / max(float(np.ptp(points, axis=0).max()), 1.0) for stroke in digit.strokes]


def _turned(chances: Chances, digits: list[DrawnDigit]) -> Lines:
    """Turned or mirrored, where that makes it none."""
    while True:
        digit = chances.pick(digits)
        degrees = chances.pick((0, 90, 180, 270))
        if degrees == 0 and str(digit.label) in _MIRRORED:
            return [line * [-1.0, 1.0] for line in _unit(digit)]
        if str(digit.label) in TURNED.get(degrees, ""):
            return scribbles.turned(_unit(digit), degrees + chances.between(-20.0, 20.0))


def _overlaid(chances: Chances, digits: list[DrawnDigit]) -> Lines:
    """Two digits in one place."""
    one, other = (_unit(chances.pick(digits)) for _ in range(2))
    shift = [chances.between(0.1, 0.45), chances.between(-0.2, 0.2)]
    return [*one, *(line + shift for line in other)]


def _beside(chances: Chances, digits: list[DrawnDigit]) -> Lines:
    """Two or three digits next to each other, near or touching."""
    lines: Lines = []
    right = 0.0
    for _ in range(chances.whole(2, 3)):
        digit = _unit(chances.pick(digits))
        start = right + chances.between(-0.08, 0.2) if lines else 0.0
        lines += [line + np.array([start, 0.0]) for line in digit]
        right = max(float(line[:, 0].max()) for line in lines)
    return lines


def _with_a_part(chances: Chances, digits: list[DrawnDigit]) -> Lines:
    """A digit, and beside it what a wrong cut left of its neighbour."""
    digit = _unit(chances.pick(digits))
    part = _part_of(_unit(chances.pick(digits)), chances, chances.between(0.25, 0.6))
    part = part - part.min(axis=0)
    wide = max(float(line[:, 0].max()) for line in digit)
    aside = [wide if chances.whole(0, 1) else -float(part[:, 0].max()), chances.between(0.0, 0.4)]
    gap = chances.between(-0.05, 0.15)
    return [*digit, part + aside + [gap if aside[0] > 0 else -gap, 0.0]]


def _piece(chances: Chances, digits: list[DrawnDigit]) -> Lines:
    """Of one digit, bent: a straight piece would be a one."""
    while True:
        piece = _part_of(_unit(chances.pick(digits)), chances, chances.between(0.2, 0.45))
        lengths = np.hypot(*np.diff(piece, axis=0).T)
        if len(piece) > 3 and np.hypot(*(piece[-1] - piece[0])) < 0.75 * lengths.sum():
            return [piece]


def _part_of(lines: Lines, chances: Chances, part: float) -> NDArray[np.float64]:
    """So much of the longest line, from anywhere on."""
    line = max(lines, key=len)
    length = max(2, round(len(line) * part))
    start = chances.whole(0, max(len(line) - length, 0))
    return line[start : start + length]


_DRAWINGS: dict[str, Callable[[Chances], Lines]] = {
    "scribble": scribbles.scribble,
    "zigzag": scribbles.zigzag,
    "mark": scribbles.mark,
    "dots": scribbles.dots,
    "dashes": scribbles.dashes,
    "letter": letter,
}
_FROM_DIGITS: dict[str, Callable[[Chances, list[DrawnDigit]], Lines]] = {
    "turned": _turned,
    "overlaid": _overlaid,
    "beside": _beside,
    "with a part": _with_a_part,
    "piece": _piece,
}
_PICTURES: dict[str, Callable[[Chances, NDArray[np.float64]], NDArray[np.uint8]]] = {
    "blank": scribbles.blank,
    "texture": scribbles.texture,
    "filled": scribbles.filled,
}
MADE = {
    "embedded:outliers": Made(
        "none",
        (
            *("letter",) * 8,
            *("turned", "mark") * 4,
            *("filled", "scribble") * 2,
            *("overlaid", "piece", "zigzag", "dots", "dashes", "blank", "texture"),
        ),
        {Split.TRAIN: 15_000, Split.VALIDATION: 1_500, Split.TEST: 1_500},
        stream=77,
    ),
    "embedded:several": Made(
        "several",
        (*("beside",) * 3, *("with a part",) * 2),
        {Split.TRAIN: 4_000, Split.VALIDATION: 500, Split.TEST: 500},
        stream=78,
    ),
}
