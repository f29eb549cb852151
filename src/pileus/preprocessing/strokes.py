"""Pen strokes to the model's input.

The frame follows MNIST (LeCun et al., 1998): the ink's box is scaled with its aspect kept, and its centre of mass is
put in the middle of the frame. The stroke width is constant in the frame, whatever pen, canvas or resolution drew it.

A segment darkens only pixels near it, so distances are computed in a small window about each piece of a line: a digit
takes a tenth of a millisecond.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.errors import UsageError
from pileus.spec.preprocessing import Drawing

Strokes = Sequence[ArrayLike]
"""Each stroke is (n, 2 or more): x to the right, y DOWNWARDS, any unit; further columns (time) are not used."""

_CLOSEST_PX = 0.2
"""Points nearer than this to the one kept before them are left out: what a fast tablet sends adds no ink."""

_FEW_POINTS = 256
"""So many are not worth thinning."""

_PIECES_AT_ONCE = 1024
"""Bounds the memory, whatever is scribbled."""

_FAR = 1e9


class _Window(NamedTuple):
    """What lies about a piece of a line; pieces are no longer than the reach."""

    reach: float
    """Of ink from the line's middle, in pixels."""
    margin: int
    """Pixels about the frame, so that no window ends outside."""
    row_length: int
    """Pixels of a row with both margins."""
    centres: NDArray[np.float64]
    """(side,) of the pixels, from the window's corner on."""
    offsets: NDArray[np.int64]
    """(1, side * side) of the window's pixels in the flat frame."""


def rasterise(strokes: Strokes, spec: Drawing) -> NDArray[np.uint8]:
    """Anti-aliased white ink on black, (H, W, 1) uint8.

    UsageError where there is no point, or a coordinate is not finite.
    """
    lines = [line for line in map(points_of, strokes) if len(line)]
    starts, steps = _placed(lines, spec)
    window = _window(spec)
    squared = np.full((spec.height + 2 * window.margin) * window.row_length, _FAR)
    for low in range(0, len(starts), _PIECES_AT_ONCE):
        part = slice(low, low + _PIECES_AT_ONCE)
        _draw(starts[part], steps[part], window, squared)
    inside = slice(window.margin, -window.margin)
    ink_HW = window.reach - np.sqrt(squared.reshape(-1, window.row_length)[inside, inside])
    np.maximum(ink_HW, 0.0, out=ink_HW)
    np.minimum(ink_HW, 1.0, out=ink_HW)
    return np.asarray(np.rint(ink_HW * 255), np.uint8)[:, :, None]


def points_of(stroke: ArrayLike) -> NDArray[np.float64]:
    """(n, 2). UsageError for what is no list of finite points."""
    points = np.asarray(stroke, np.float64)
    if points.size == 0:
        return np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] < 2:
        raise UsageError(f"a stroke is a list of [x, y] points (got shape {points.shape}); send one list a stroke.")
    points = points[:, :2]
    if not np.abs(points).max() <= _FAR:  # nor is NaN
        raise UsageError("stroke coordinates must be finite numbers below 1e9; check the points that are sent.")
    return points


def _placed(lines: list[NDArray[np.float64]], spec: Drawing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P, 2) each, in the frame's pixels: where each piece of the lines starts, and from there to its end."""
    if not lines:
        raise UsageError("a drawing needs at least one point (got none); draw something first.")
    points = lines[0] if len(lines) == 1 else np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    scale = (spec.box - spec.stroke_width) / extent if extent > 0 else 0.0
    if len(points) > _FEW_POINTS and scale:
        lines = [_thinned(line, _CLOSEST_PX / scale) for line in lines]
        points = np.concatenate(lines)
    starts, steps = _segments((points - low) * scale, [len(line) for line in lines])
    lengths = np.sqrt(steps[:, 0] ** 2 + steps[:, 1] ** 2)
    size = (high - low) * scale
    frame = np.array([spec.width, spec.height], np.float64)
    margin = np.minimum(spec.stroke_width / 2, (frame - size) / 2)
    shift = np.clip(frame / 2 - _centre_of_mass(starts, steps, lengths), margin, frame - size - margin)
    longest = _window(spec).reach
    if lengths.max() > longest:
        starts, steps = _cut(starts, steps, np.ceil(lengths / longest))
    return starts + shift, steps


def _segments(points: NDArray[np.float64], counts: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between the points of each line; a line of one point is a segment without length."""
    if len(points) == 1:
        return points, np.zeros((1, 2))
    starts, steps = points[:-1], np.diff(points, axis=0)
    if len(counts) == 1:
        return starts, steps
    last = np.cumsum(counts) - 1
    single = last[np.array(counts) == 1]
    between = np.ones(len(starts), np.bool_)
    between[last[:-1]] = False
    return (
        np.concatenate([starts[between], points[single]]),
        np.concatenate([steps[between], np.zeros((len(single), 2))]),
    )


def _thinned(line: NDArray[np.float64], closest: float) -> NDArray[np.float64]:
    """Keep the first and last point, and between them those that are apart along the line."""
    if len(line) < 3:
        return line
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    keep = np.diff(np.floor(along / closest), prepend=-1.0) > 0
    keep[-1] = True
    return line[keep]


def _centre_of_mass(
    starts: NDArray[np.float64], steps: NDArray[np.float64], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of ink of constant width: the mean along the lines."""
    total = float(lengths.sum())
    if total == 0:
        return np.asarray(starts.mean(axis=0), np.float64)
    return np.asarray(((starts + steps / 2) * lengths[:, None]).sum(axis=0) / total, np.float64)


def _cut(
    starts: NDArray[np.float64], steps: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each segment into so many equal pieces, at least one."""
    pieces = np.maximum(counts, 1).astype(np.int64)
    rows = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    steps = (steps / pieces[:, None])[rows]
    return starts[rows] + steps * number[:, None], steps


@functools.lru_cache(maxsize=16)
def _window(spec: Drawing) -> _Window:
    reach = spec.stroke_width / 2 + 0.5
    side = math.ceil(3 * reach) + 1
    margin = side + 1 + math.ceil(max(spec.box - spec.width, spec.box - spec.height, 0.0) / 2)
    row_length = spec.width + 2 * margin
    numbers = np.arange(side)
    centres = np.asarray(numbers + 0.5, np.float64)
    return _Window(reach, margin, row_length, centres, (numbers[:, None] * row_length + numbers).reshape(1, -1))


def _draw(
    starts: NDArray[np.float64], steps: NDArray[np.float64], window: _Window, squared: NDArray[np.float64]
) -> None:
    """Lower `squared`, the flat frame with margins, to each near pixel's squared distance to the nearest piece."""
    corners = np.floor(starts + np.minimum(steps, 0.0) - window.reach)
    to_corner = corners - starts
    to_x, to_y = to_corner[:, 0, None] + window.centres, to_corner[:, 1, None] + window.centres
    along_x, along_y = steps[:, 0, None], steps[:, 1, None]
    squared_length = np.maximum(along_x * along_x + along_y * along_y, 1e-12)
    part = (to_x * (along_x / squared_length))[:, None, :] + (to_y * (along_y / squared_length))[:, :, None]
    np.maximum(part, 0.0, out=part)
    np.minimum(part, 1.0, out=part)
    off_x = to_x[:, None, :] - part * along_x[:, :, None]
    off_y = to_y[:, :, None] - part * along_y[:, :, None]
    off_x *= off_x
    off_y *= off_y
    off_x += off_y
    whole = corners.astype(np.int64) + window.margin
    places = (whole[:, 1] * window.row_length + whole[:, 0])[:, None] + window.offsets
    np.minimum.at(squared, places.ravel(), off_x.ravel())
