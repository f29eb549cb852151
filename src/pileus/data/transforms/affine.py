"""Rotation, scale, shear and shift in one affine map about the image's centre, and a warp added to it.

The warp moves the points of a coarse grid, and what lies between them as far as bilinear interpolation says: a shaky
hand, and letters of another build (after the elastic distortions of Simard et al., ICDAR 2003). One map for all, so
that pixels are interpolated once.

Only additions, multiplications and divisions in IEEE double precision, which are exact to the last bit on every
machine; library sines are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family
from pileus.spec.augment import Augment

_CELLS = 4
"""Of the warp's grid, down and across."""


def distorted(images_NHWC: NDArray[np.uint8], draws: Draws, spec: Augment) -> NDArray[np.uint8]:
    """Bilinear, black outside; rounded to the nearest, halves to even. Same shape as given."""
    bounded = draws.affine() * 2 - 1
    rows, columns = _places(images_NHWC.shape, _inverse_maps(bounded, spec), bounded[:, 4:6] * spec.shift)
    if spec.warp:
        down, across = _warp(images_NHWC.shape, draws, spec.warp)
        rows += down
        columns += across
    return _sampled(images_NHWC, rows, columns)


def _inverse_maps(draws: NDArray[np.float64], spec: Augment) -> NDArray[np.float64]:
    """(N, 2, 2): from an output pixel's offset (row, column) to the input's."""
    half = draws[:, 0] * (spec.rotate_deg * (np.pi / 360))
    cosine = (1 - half * half) / (1 + half * half)
    sine = 2 * half / (1 + half * half)
    slant = draws[:, 1] * spec.shear
    rows, columns = 1 + draws[:, 2] * spec.scale, 1 + draws[:, 3] * spec.scale
    upper = np.stack([cosine / rows, sine / rows], axis=1)
    lower = np.stack([(-sine + slant * cosine) / columns, (cosine + slant * sine) / columns], axis=1)
    return np.stack([upper, lower], axis=1)


def _places(
    shape: tuple[int, ...], maps: NDArray[np.float64], shifts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, H, W) each: row and column of the input for each output pixel."""
    _, height, width, _ = shape
    centre_row, centre_column = (height - 1) / 2, (width - 1) / 2
    rows = np.arange(height)[None, :, None] - centre_row - (shifts[:, 0] * height)[:, None, None]
    columns = np.arange(width)[None, None, :] - centre_column - (shifts[:, 1] * width)[:, None, None]
    terms = maps[:, :, :, None, None]
    return (
        terms[:, 0, 0] * rows + terms[:, 0, 1] * columns + centre_row,
        terms[:, 1, 0] * rows + terms[:, 1, 1] * columns + centre_column,
    )


def _warp(shape: tuple[int, ...], draws: Draws, bound: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, H, W) each: how far down and across the warp moves the place that is looked at, in pixels."""
    count, height, width, _ = shape
    points = (draws.of(Family.WARP, 2 * (_CELLS + 1) ** 2) * 2 - 1).reshape(count, 2, _CELLS + 1, _CELLS + 1)
    upper_H, down_H = _cells(height)
    left_W, across_W = _cells(width)
    down = down_H[:, None]
    lines = points[:, :, upper_H] * (1 - down) + points[:, :, upper_H + 1] * down
    field = lines[..., left_W] * (1 - across_W) + lines[..., left_W + 1] * across_W
    return field[:, 0] * (bound * height), field[:, 1] * (bound * width)


def _cells(size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each pixel of a side: the grid's line before it, and which part of the cell lies between them."""
    places = np.arange(size) * _CELLS / max(size - 1, 1)
    before = np.minimum(np.floor(places), _CELLS - 1)
    return before.astype(np.int64), places - before


def _sampled(
    images_NHWC: NDArray[np.uint8], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.uint8]:
    count, height, width, channels = images_NHWC.shape
    row, column = np.clip(rows, -1.0, height), np.clip(columns, -1.0, width)
    top, left = np.floor(row), np.floor(column)
    corner = (
        np.arange(count)[:, None, None] * ((height + 3) * (width + 3))
        + (top.astype(np.int64) + 1) * (width + 3)
        + (left.astype(np.int64) + 1)
    )
    down, across = row - top, column - left
    changed_NHWC = np.empty_like(images_NHWC)
    for channel in range(channels):  # long planes are faster than pixels of three values
        plane = np.pad(images_NHWC[..., channel], ((0, 0), (1, 2), (1, 2))).ravel()
        above = plane[corner] * (1 - across) + plane[corner + 1] * across
        below = plane[corner + width + 3] * (1 - across) + plane[corner + width + 4] * across
        changed_NHWC[..., channel] = np.rint(above * (1 - down) + below * down)
    return changed_NHWC
