"""A drawing to its items: which strokes belong to one digit.

Strokes in one place belong together: the bar of a five or a seven, the two parts of a four. Strokes with a clear gap
between them do not. Between these two, the shape gives a prior and the model decides, where it is at hand.

All is measured by the height of the drawing's tallest stroke, so that canvas and resolution do not matter.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.preprocessing.lattice import Box, Candidate, Item
from pileus.preprocessing.strokes import Strokes, points_of, rasterise
from pileus.spec.preprocessing import Drawing

_MAX_STROKES = 64
"""More are no string of digits: they are taken as one item."""
_MAX_PARTS = 4
"""Strokes, or bunches of strokes, that one item may consist of where the model decides."""
_COMPARED_POINTS = 24
"""Of a stroke, where the distance of two is looked at."""

_CLEAR_GAP = 0.15
_NEAR = 0.12
_TOGETHER = 0.5
"""Part of the narrower stroke's width that lies over the other; beyond it, near strokes are of one item."""
_OVER = 0.5
"""The same, from where on the shape alone takes two for one."""
_FLAT, _TINY = 0.3, 0.12
"""Heights: bars, and dots that a pen leaves."""
_LEAST_WIDTH = 0.1
_WIDEST = 1.6
_DOUBT = 0.6
"""Nats against a candidate that cuts what the shape joins, or joins what it cuts."""

Line = NDArray[np.float64]


class _Part(NamedTuple):
    """Strokes that are of one item for sure."""

    lines: tuple[Line, ...]
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def candidates_of_strokes(strokes: Strokes, spec: Drawing) -> list[Candidate]:
    """One a part where the shape leaves no doubt. UsageError where there is no point, or a coordinate is not finite."""
    lines = [line for line in map(points_of, strokes) if len(line)]
    if len(lines) < 2 or len(lines) > _MAX_STROKES:
        return [Candidate(0, 1, _item(lines, spec))]
    return _candidates(_bunched([_part((line,)) for line in lines]), spec)


def _item(lines: list[Line], spec: Drawing) -> Item:
    image_HWC = rasterise(lines, spec)
    part = _part(tuple(lines))
    left, top = math.floor(part.left), math.floor(part.top)
    box: Box = (left, top, math.ceil(part.right) - left, math.ceil(part.bottom) - top)
    return Item(image_HWC, box)


def _part(lines: tuple[Line, ...]) -> _Part:
    points = lines[0] if len(lines) == 1 else np.concatenate(lines)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return _Part(lines, left, top, right, bottom)


def _joined(one: _Part, other: _Part) -> _Part:
    return _Part(
        one.lines + other.lines,
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
    )


def _unit(parts: list[_Part]) -> float:
    """The height that all is measured by."""
    tallest = max(part.height for part in parts)
    wide = max(part.right for part in parts) - min(part.left for part in parts)
    return max(tallest, 0.1 * wide, 1e-9)


def _bunched(parts: list[_Part]) -> list[_Part]:
    """Strokes that lie over each other and are near become one part; the rest from left to right."""
    unit = _unit(parts)
    bunched: list[_Part] = []
    for part in sorted(parts, key=lambda part: part.left):
        while (number := _found(part, bunched, unit)) is not None:
            part = _joined(bunched.pop(number), part)
        bunched.append(part)
    return sorted(bunched, key=lambda part: part.left + part.right)


def _found(part: _Part, others: list[_Part], unit: float) -> int | None:
    for number, other in enumerate(others):
        if _overlap(part, other, unit) >= _TOGETHER and _distance(part, other) <= _NEAR * unit:
            return number
    return None


def _overlap(one: _Part, other: _Part, unit: float) -> float:
    """How much of the narrower lies over the wider, as a part of its width; below 0: the gap, likewise."""
    narrower = max(min(one.width, other.width), _LEAST_WIDTH * unit)
    shared = min(one.right, other.right) - max(one.left, other.left)
    if min(one.width, other.width) < narrower and shared >= 0:  # an upright line has no width of its own
        shared = narrower
    return min(shared / narrower, 1.0)


def _distance(one: _Part, other: _Part) -> float:
    """Between the nearest points of the two, some of which are looked at."""
    a, b = _some_points(one), _some_points(other)
    return float(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2).min()))


def _some_points(part: _Part) -> Line:
    """Spread evenly along the lines, whose own points may be few and far apart."""
    each = max(2, _COMPARED_POINTS // len(part.lines))
    return np.concatenate([_spread(line, each) for line in part.lines])


def _spread(line: Line, count: int) -> Line:
    lengths = np.sqrt((np.diff(line, axis=0) ** 2).sum(axis=1))
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    places = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(places, along, line[:, axis]) for axis in (0, 1)], axis=1)


def _candidates(parts: list[_Part], spec: Drawing) -> list[Candidate]:
    unit = _unit(parts)
    joins = [_join(one, other, unit) for one, other in itertools.pairwise(parts)]
    candidates = []
    for start in range(len(parts)):
        whole = parts[start]
        for stop in range(start + 1, len(parts) + 1):
            if stop - start > 1:
                whole = _joined(whole, parts[stop - 1])
                if joins[stop - 2] == _NEVER or stop - start > _MAX_PARTS:
                    break
                if whole.width > _WIDEST * unit and joins[stop - 2] != _SHOULD:
                    break
            doubts = sum(join == _MAY for join in joins[start : stop - 1])
            doubts += sum(joins[place] == _SHOULD for place in (start - 1, stop - 1) if 0 <= place < len(joins))
            candidates.append(Candidate(start, stop, _item(list(whole.lines), spec), -_DOUBT * doubts))
    return candidates


_NEVER, _MAY, _SHOULD = range(3)


def _join(left: _Part, right: _Part, unit: float) -> int:
    """Whether two neighbours are of one item, by their shape."""
    gap = max(left.left, right.left) - min(left.right, right.right)
    smaller = min(left.height, right.height)
    if max(smaller, min(left.width, right.width)) < _TINY * unit:
        return _SHOULD if gap < 2 * _CLEAR_GAP * unit else _NEVER
    if gap > _CLEAR_GAP * unit * (2 if smaller < _FLAT * unit else 1):
        return _NEVER
    if smaller < _FLAT * unit or _overlap(left, right, unit) >= _OVER:
        return _SHOULD
    return _MAY
