"""Softer images, as a coarse camera or a small picture made larger gives them.

Integers throughout: weights are whole numbers of 1/256, and values are rounded to the nearest, halves up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family

_UNIT = 256
_BINOMIAL = (1, 4, 6, 4, 1)


def blurred(images_NHWC: NDArray[np.uint8], draws: Draws, bound: float) -> NDArray[np.uint8]:
    """By an even draw from [0, bound]: at 1 the mean of 5 x 5 pixels, weighed as a Gaussian of one pixel is.

    Beyond the border the outermost pixels are repeated.
    """
    amounts_N = np.rint(draws.of(Family.BLUR, 1)[:, 0] * (bound * _UNIT)).astype(np.uint16)
    weights = amounts_N[:, None, None, None]
    total = _smooth(images_NHWC) * weights
    total += images_NHWC * (_UNIT - weights)
    total += _UNIT // 2
    return (total >> 8).astype(np.uint8)


def _smooth(images_NHWC: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Its sums stay below 2**16: 255 x 16 x 16 and a half."""
    _, height, width, _ = images_NHWC.shape
    wide = np.pad(images_NHWC, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge").astype(np.uint16)
    rows = _weighed([wide[:, shift : shift + height] for shift in range(len(_BINOMIAL))])
    both = _weighed([rows[:, :, shift : shift + width] for shift in range(len(_BINOMIAL))])
    return np.asarray((both + np.uint16(_UNIT // 2)) >> np.uint16(8), np.uint16)


def _weighed(shifted: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    total = np.zeros_like(shifted[0])
    for part, values in zip(_BINOMIAL, shifted, strict=True):
        total += values * np.uint16(part)
    return total
