"""The left-right mirror image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family
from pileus.preprocessing.geometry import mirror

_ALONE_BYTES = 16 * 1024
"""From this size on, a call for each image costs less than it gains."""


def mirrored(images_NHWC: NDArray[np.uint8], draws: Draws, probability: float) -> NDArray[np.uint8]:
    """Each image mirrored left to right with this probability; a copy."""
    flipped_NHWC = images_NHWC.copy()
    mirror_in_place(flipped_NHWC, draws, probability)
    return flipped_NHWC


def mirror_in_place(images_NHWC: NDArray[np.uint8], draws: Draws, probability: float) -> None:
    """As `mirrored`, of the given images themselves."""
    chosen = np.flatnonzero(draws.of(Family.FLIP, 1)[:, 0] < probability)
    if math.prod(images_NHWC.shape[1:]) >= _ALONE_BYTES:
        straight_HWC = np.empty(images_NHWC.shape[1:], np.uint8)
        for row in chosen.tolist():
            straight_HWC[...] = images_NHWC[row]
            mirror(straight_HWC, images_NHWC[row])
        return
    sources = images_NHWC[chosen]
    targets = np.empty_like(sources)
    for channel in range(images_NHWC.shape[3]):  # long strides copy faster than pixels of three bytes
        targets[..., channel] = sources[:, :, ::-1, channel]
    images_NHWC[chosen] = targets
