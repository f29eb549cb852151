"""What the tests of transforms look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws


def images(count: int, channels: int = 1, height: int = 12, width: int = 12) -> NDArray[np.uint8]:
    values = np.arange(count * height * width * channels, dtype=np.uint64)
    return (values * np.uint64(2654435761) >> np.uint64(13)).astype(np.uint8).reshape(count, height, width, channels)


def draws(count: int, seed: int = 0, epoch: int = 0) -> Draws:
    return Draws(seed, epoch, np.arange(count, dtype=np.uint64) * np.uint64(0x1234567))
