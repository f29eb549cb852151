"""What chance decides for a sample: pure functions of (seed, epoch, sample key), one stream for each transform.

Apart, so that turning one transform on changes nothing of what another does.
"""

from __future__ import annotations

import enum
import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.random import stream, uniforms

_AUGMENT = 2
"""Keeps the streams of augmentation apart from those of order, dropout and splits."""


class Family(enum.IntEnum):
    """Last coordinate of a transform's stream. Numbers are never changed or used again: runs resume by them."""

    FLIP = 1
    PAD_CROP = 2
    RESIZED_CROP = 3
    COLOUR = 4
    CUTOUT = 5
    MIX = 6
    MIX_BOX = 7
    WARP = 8
    THICKNESS = 9
    BLUR = 10


class Draws(NamedTuple):
    """The coordinates of a batch."""

    seed: int
    epoch: int
    keys_N: NDArray[np.uint64]

    def of(self, family: Family, num_draws: int) -> NDArray[np.float64]:
        """(N, num_draws) in [0, 1)."""
        return uniforms(_start(self.seed, self.epoch, family), self.keys_N, num_draws)

    def affine(self) -> NDArray[np.float64]:
        """(N, 6) in [0, 1). The affine map came first and has the stream without a family."""
        return uniforms(_start(self.seed, self.epoch), self.keys_N, 6)


@functools.lru_cache(maxsize=64)
def _start(*coordinates: int) -> int:
    """The same for every microbatch of an epoch, and dearer than the draws of a small one."""
    return stream(_AUGMENT, *coordinates)


def below(draws_N: NDArray[np.float64], bound: int) -> NDArray[np.int64]:
    """(N,) integers in [0, bound), equally likely to within 2**-53; never `bound` itself, whatever the rounding."""
    return (draws_N * bound).astype(np.int64)
