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
    chosen_N = draws.of(Family.FLIP, 1)[:, 0] < probability
    if math.prod(images_NHWC.shape[1:]) >= _ALONE_BYTES:
        return _one_by_one(images_NHWC, chosen_N)
    chosen = np.flatnonzero(chosen_N)
    sources = images_NHWC[chosen]
    targets = np.empty_like(sources)
    for channel in range(images_NHWC.shape[3]):  # long strides copy faster than pixels of three bytes
        targets[..., channel] = sources[:, :, ::-1, channel]
    flipped = images_NHWC.copy()
    flipped[chosen] = targets
    return flipped


def _one_by_one(images_NHWC: NDArray[np.uint8], chosen_N: NDArray[np.bool_]) -> NDArray[np.uint8]:
    flipped = np.empty_like(images_NHWC)
    for source_HWC, target_HWC, chosen in zip(images_NHWC, flipped, chosen_N.tolist(), strict=True):
        if chosen:
            mirror(source_HWC, target_HWC)
        else:
            target_HWC[...] = source_HWC
    return flipped
