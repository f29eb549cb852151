"""The order of samples: a pure function of (seed, epoch, size). Nothing else is remembered to resume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.random import mix, stream

_ORDER = 1
"""Keeps the stream of the order apart from those of augmentation and dropout."""


def permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """(size,) positions in the order in which this epoch visits them.

    Sorting by random 64-bit keys (Knuth, TAOCP 2, 3.4.2): every order is equally likely up to ties, and ties, of
    probability below size**2 / 2**65, keep their positions. 16 bytes a sample while it is made.
    """
    positions = np.arange(size, dtype=np.uint64)
    return np.argsort(mix(positions + np.uint64(stream(_ORDER, seed, epoch))), kind="stable")
