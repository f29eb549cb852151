"""The order of samples: a pure function of (seed, epoch, size). Nothing else is remembered to resume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.random import mix, stream

_ORDER = 1
"""Keeps the stream of the order apart from those of augmentation and dropout."""
_PIECE = 1 << 16
"""Keys that are made at a time."""


def permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """(size,) positions in the order in which this epoch visits them.

    Sorting by random 64-bit keys (Knuth, TAOCP 2, 3.4.2): every order is equally likely up to ties, and ties, of
    probability below size**2 / 2**65, keep their positions. 16 bytes a sample while it is made: a key's last bits give
    way to its position, so that sorting numbers in place is enough; who agree in the rest are put right afterwards.
    """
    start = np.uint64(stream(_ORDER, seed, epoch))
    place_bits = np.uint64(max(size - 1, 0).bit_length())
    places = np.uint64((1 << int(place_bits)) - 1)
    packed = np.arange(size, dtype=np.uint64)
    for piece in (packed[first : first + _PIECE] for first in range(0, size, _PIECE)):
        piece |= mix(piece + start) & ~places
    packed.sort()
    order = (packed & places).view(np.int64)
    packed >>= place_bits
    for first in np.flatnonzero(packed[1:] == packed[:-1]):
        tied = slice(int(first), int(first + np.searchsorted(packed[first:], packed[first], side="right")))
        order[tied] = sorted(order[tied].tolist(), key=lambda place: (_key(place, start), place))
    return order


def _key(place: int, start: np.uint64) -> int:
    return int(mix(np.array([place], np.uint64) + start)[0])
