"""Pen strokes to the model's input.

The frame follows MNIST (LeCun et al., 1998): the ink's box is scaled with its aspect kept, and its centre of mass is
put in the middle of the frame. The stroke width is constant in the frame, whatever pen, canvas or resolution drew it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.errors import UsageError
from pileus.spec.preprocessing import Drawing

Strokes = Sequence[ArrayLike]
"""Each stroke is (n, 2 or more): x to the right, y DOWNWARDS, any unit; further columns (time) are not used."""

_CLOSEST_PX = 0.2
"""Points nearer than this to the one kept before them are left out: what a fast tablet sends adds no ink."""

_SEGMENTS_AT_ONCE = 256
"""Bounds the memory, whatever is scribbled."""


def rasterise(strokes: Strokes, spec: Drawing) -> NDArray[np.uint8]:
    """Anti-aliased white ink on black, (H, W, 1) uint8.

    UsageError where there is no point, or a coordinate is not finite.
    """
    lines = _placed([_points(stroke) for stroke in strokes], spec)
    starts = np.concatenate([line[:-1] if len(line) > 1 else line for line in lines])
    ends = np.concatenate([line[1:] if len(line) > 1 else line for line in lines])
    squared_HW = np.full((spec.height, spec.width), np.inf)
    for low in range(0, len(starts), _SEGMENTS_AT_ONCE):
        part = slice(low, low + _SEGMENTS_AT_ONCE)
        np.minimum(squared_HW, _squared_distance(starts[part], ends[part], spec.height, spec.width), out=squared_HW)
    distance_HW = np.sqrt(squared_HW)
    ink_HW = np.clip(spec.stroke_width / 2 + 0.5 - distance_HW, 0.0, 1.0)
    return np.asarray(np.rint(ink_HW * 255), np.uint8)[:, :, None]


def _points(stroke: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(stroke, np.float64)
    if points.size == 0:
        return np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] < 2:
        raise UsageError(f"a stroke is a list of [x, y] points (got shape {points.shape}); send one list a stroke.")
    if not np.isfinite(points[:, :2]).all() or np.abs(points[:, :2]).max() > 1e9:
        raise UsageError("stroke coordinates must be finite numbers below 1e9; check the points that are sent.")
    return points[:, :2]


def _placed(lines: list[NDArray[np.float64]], spec: Drawing) -> list[NDArray[np.float64]]:
    """Into the frame's pixels, thinned."""
    lines = [line for line in lines if len(line)]
    if not lines:
        raise UsageError("a drawing needs at least one point (got none); draw something first.")
    ink = np.concatenate(lines)
    low, high = ink.min(axis=0), ink.max(axis=0)
    extent = float((high - low).max())
    scale = (spec.box - spec.stroke_width) / extent if extent > 0 else 0.0
    lines = [_thinned((line - low) * scale) for line in lines]
    size = (high - low) * scale
    frame = np.array([spec.width, spec.height], np.float64)
    margin = np.minimum(spec.stroke_width / 2, (frame - size) / 2)
    shift = np.clip(frame / 2 - _centre_of_mass(lines), margin, frame - size - margin)
    return [line + shift for line in lines]


def _thinned(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the first and last point, and between them those that are apart along the line."""
    if len(line) < 3:
        return line
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    keep = np.diff(np.floor(along / _CLOSEST_PX), prepend=-1.0) > 0
    keep[-1] = True
    return line[keep]


def _centre_of_mass(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of ink of constant width: the mean along the lines."""
    starts = np.concatenate([line[:-1] for line in lines])
    ends = np.concatenate([line[1:] for line in lines])
    lengths = np.hypot(*(ends - starts).T)
    if lengths.sum() == 0:
        return np.asarray(np.concatenate(lines).mean(axis=0), np.float64)
    return np.asarray(((starts + ends) / 2 * lengths[:, None]).sum(axis=0) / lengths.sum(), np.float64)


def _squared_distance(
    starts: NDArray[np.float64], ends: NDArray[np.float64], height: int, width: int
) -> NDArray[np.float64]:
    """(H, W): from each pixel's centre to the nearest of the segments, squared."""
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    pixels_x, pixels_y = x.reshape(-1, 1), y.reshape(-1, 1)
    along_x, along_y = (ends - starts).T
    squared_length = np.maximum(along_x**2 + along_y**2, 1e-12)
    to_x, to_y = pixels_x - starts[:, 0], pixels_y - starts[:, 1]
    part = np.clip((to_x * along_x + to_y * along_y) / squared_length, 0.0, 1.0)
    nearest = ((to_x - part * along_x) ** 2 + (to_y - part * along_y) ** 2).min(axis=1)
    return np.asarray(nearest.reshape(height, width), np.float64)
