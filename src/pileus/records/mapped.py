"""Raw images of one shape as strided arrays over maps of their shards: read without a copy of the set.

The pages belong to the system's cache of files, so the processes of a machine share them, and they are given back
when memory is short.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


class MappedImages:
    """N images, (H, W, C) uint8 each; indexed as an array of them is."""

    def __init__(
        self,
        shards: Sequence[Path],
        shard_N: NDArray[np.uint32],
        starts_N: NDArray[np.int64],
        shape: tuple[int, int, int],
    ) -> None:
        """Image n is the bytes of `shards[shard_N[n]]` from `starts_N[n]` on; its place must lie inside."""
        self._shard_N = shard_N
        self._starts_N = starts_N
        self._image_shape = shape
        used = np.unique(shard_N).tolist()
        self._windows = {number: _windows(shards[number], math.prod(shape)) for number in used}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self._starts_N), *self._image_shape

    def __len__(self) -> int:
        return len(self._starts_N)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, H, W, C), a copy."""
        starts, shards = self._starts_N[rows], self._shard_N[rows]
        if len(self._windows) == 1:
            (windows,) = self._windows.values()
            return np.asarray(windows[starts], np.uint8).reshape(-1, *self._image_shape)
        flat = np.empty((len(starts), math.prod(self._image_shape)), np.uint8)
        for number in np.unique(shards).tolist():
            chosen = np.flatnonzero(shards == number)
            flat[chosen] = self._windows[number][starts[chosen]]
        return flat.reshape(-1, *self._image_shape)


def _windows(shard: Path, size: int) -> NDArray[np.uint8]:
    """(places, size): the bytes from each place on. The array keeps the map alive."""
    with shard.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return sliding_window_view(np.frombuffer(content, np.uint8), size)
