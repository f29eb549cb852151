"""Brightness, contrast and saturation: each moves values towards or away from an anchor, by an even draw.

Integers throughout: a change is a whole number of 1/128 in [-128, 128], so that a difference of two values times it
fits 16 bits; each of the three is rounded to the nearest, halves up, and cut to [0, 255].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family
from pileus.spec.augment import Augment

_SHIFT = 7
_UNIT = 1 << _SHIFT


def coloured(images_NHWC: NDArray[np.uint8], draws: Draws, spec: Augment) -> NDArray[np.uint8]:
    """Brightness, then contrast, then saturation, those of them that `spec` asks for."""
    bounded = draws.of(Family.COLOUR, 3) * 2 - 1
    values = images_NHWC.astype(np.int16)
    if spec.brightness:
        _move(values, np.int16(0), bounded[:, 0] * spec.brightness)
    if spec.contrast:
        _move(values, _means(values), bounded[:, 1] * spec.contrast)
    if spec.saturation:
        _move(values, _greys(values), bounded[:, 2] * spec.saturation)
    return values.astype(np.uint8)


def _move(
    values_NHWC: NDArray[np.int16], anchors: NDArray[np.int16] | np.int16, changes_N: NDArray[np.float64]
) -> None:
    """In place: value + (value - anchor) x change."""
    moves = values_NHWC - anchors
    moves *= np.rint(changes_N * _UNIT).astype(np.int16)[:, None, None, None]
    moves += _UNIT // 2
    moves >>= _SHIFT
    values_NHWC += moves
    np.clip(values_NHWC, 0, 255, out=values_NHWC)


def _means(values_NHWC: NDArray[np.int16]) -> NDArray[np.int16]:
    """(N, 1, 1, 1) over all pixels and channels, rounded halves up."""
    num_values = values_NHWC[0].size
    sums = values_NHWC.sum(axis=(1, 2, 3), dtype=np.int64)
    means_N = (2 * sums + num_values) // (2 * num_values)
    return np.asarray(means_N, np.int16).reshape(-1, 1, 1, 1)


def _greys(values_NHW3: NDArray[np.int16]) -> NDArray[np.int16]:
    """(N, H, W, 1) luma of ITU-R BT.601 in 1/256, rounded halves up."""
    red, green, blue = (values_NHW3[..., channel].astype(np.uint16) for channel in range(3))
    return ((red * 77 + green * 150 + blue * 29 + 128) >> 8).astype(np.int16)[..., None]
