"""Random numbers that are pure functions of their coordinates.

Only integer operations and one exact division, so that every machine and library version gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEP = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64 bits that scatters well."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def stream(*coordinates: int) -> int:
    """One 64-bit number for a tuple of non-negative coordinates, such as (seed, epoch)."""
    state = 0
    for coordinate in coordinates:
        state = int(mix(np.array([(state + _STEP + coordinate) & _MASK], np.uint64))[0])
    return state


def uniforms(start: int, keys_N: NDArray[np.uint64], num_draws: int) -> NDArray[np.float64]:
    """(N, num_draws) numbers in [0, 1); row n depends on `start` and `keys_N[n]` alone."""
    draws = (np.arange(1, num_draws + 1, dtype=np.uint64) * np.uint64(_STEP))[None, :]
    bits = mix(mix(keys_N[:, None] ^ np.uint64(start)) + draws)
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)
