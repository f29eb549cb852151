"""Thicker and thinner lines, as another pen would have drawn them: each image mixed with its dilation or erosion.

Integers throughout: weights are whole numbers of 1/256, and values are rounded to the nearest, halves up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family

_UNIT = 256


def thickened(images_NHWC: NDArray[np.uint8], draws: Draws, bound: float) -> NDArray[np.uint8]:
    """By an even draw from [-bound, bound]: at 1 the greatest of each 3 x 3 pixels, at -1 the least.

    Light is ink, and what lies beyond the border does not count.
    """
    amounts_N = np.rint((draws.of(Family.THICKNESS, 1)[:, 0] * 2 - 1) * (bound * _UNIT)).astype(np.int64)
    changed_NHWC = images_NHWC.copy()
    for rows, extreme, beyond in ((amounts_N > 0, np.maximum, 0), (amounts_N < 0, np.minimum, 255)):
        chosen_NHWC = images_NHWC[rows]
        weights = np.abs(amounts_N[rows]).astype(np.uint16)[:, None, None, None]
        total = _of_neighbours(chosen_NHWC, extreme, beyond) * weights
        total += chosen_NHWC * (_UNIT - weights)
        total += _UNIT // 2
        changed_NHWC[rows] = total >> 8
    return changed_NHWC


def _of_neighbours(
    images_NHWC: NDArray[np.uint8], extreme: Callable[..., NDArray[np.uint8]], beyond: int
) -> NDArray[np.uint8]:
    """Of each pixel and its eight neighbours."""
    wide = np.pad(images_NHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=beyond)
    rows = extreme(extreme(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return extreme(extreme(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
