"""The left-right mirror image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family


def mirrored(images_NHWC: NDArray[np.uint8], draws: Draws, probability: float) -> NDArray[np.uint8]:
    """Each image mirrored left to right with this probability; a copy."""
    chosen = np.flatnonzero(draws.of(Family.FLIP, 1)[:, 0] < probability)
    sources = images_NHWC[chosen]
    targets = np.empty_like(sources)
    for channel in range(images_NHWC.shape[3]):  # long strides copy faster than pixels of three bytes
        targets[..., channel] = sources[:, :, ::-1, channel]
    flipped = images_NHWC.copy()
    flipped[chosen] = targets
    return flipped
