"""The exact nearest neighbours of many images at once, by squared distance and, of equal ones, by index.

|q - x|^2 = |q|^2 + (|x|^2 - 2 q.x), all in whole numbers. 128 less of every pixel makes them int8 and changes no
distance, and the products of a tile of queries and a block of images are one product of matrices that stays in cache.
Choosing must not cost what the products do. What is known of a query's k-th nearest is a bound; of each group of a
block only the least value is taken, in one vectorised pass, and only groups with one below the bound are looked at. The
first block gives the bound to begin with: the k-th least of its groups' least.

No distance depends on tiles, blocks, threads or shards, and none is rounded; so neither does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pileus.errors import UsageError
from pileus.models.neighbours.products import Multiply, fastest_exact
from pileus.spec.neighbours import MOST_K

MOST_VALUES = 33_025
"""Values of an image up to which every sum here is an int32."""

_TILE, _BLOCK, _GROUPS = 512, 2048, 64
"""Queries of a tile; images of a block; groups of a block, which are at least MOST_K."""
_FAR = np.iinfo(np.int32).max
_NONE = np.iinfo(np.int64).max
_INDEX_BITS = 32

Made = TypeVar("Made")


class Nearest(NamedTuple):
    """Of each query its neighbours, the nearest first; of equally near ones that of the lower index."""

    distances_NK: NDArray[np.int64]
    """Squared, of pixels in 0..255."""
    indices_NK: NDArray[np.int64]


def merge(parts: Sequence[Nearest], k: int) -> Nearest:
    """The k nearest of all shards, from those of each; fewer where all have fewer."""
    keys_NK = np.concatenate([part.distances_NK << _INDEX_BITS | part.indices_NK for part in parts], axis=1)
    keys_NK.sort(axis=1)
    return _apart(keys_NK[:, :k])


def _apart(keys_NK: NDArray[np.int64]) -> Nearest:
    """From keys, the one number that neighbours are ordered by: distance and, in the lower 32 bits, index."""
    return Nearest(keys_NK >> _INDEX_BITS, keys_NK & ((1 << _INDEX_BITS) - 1))


class _Block(NamedTuple):
    images_DM: Tensor
    """int8; images behind the last one, up to whole groups, are empty."""
    norms_M: Tensor
    """int32: the sum of squares of each; as far as can be where there is no image."""


class Shard:
    """Images to search, the whole training part or a piece of it. Safe for threads."""

    def __init__(
        self, images_MD: NDArray[np.uint8], *, first: int = 0, threads: int = 1, multiply: Multiply | None = None
    ) -> None:
        """`first` is the index of the first image in the whole. UsageError for none, or too large ones."""
        if images_MD.ndim != 2 or images_MD.dtype != np.uint8 or not len(images_MD):
            raise UsageError(f"neighbours are rows of a uint8 array (got {images_MD.dtype}, shape={images_MD.shape}).")
        if images_MD.shape[1] > MOST_VALUES:
            raise UsageError(
                f"neighbours are of at most {MOST_VALUES:,} values an image (got {images_MD.shape[1]:,}); "
                "bring them to a smaller size: --set data.size=[96,96]"
            )
        self._first, self._threads, self._size = first, threads, len(images_MD)
        self._multiply = multiply or fastest_exact()
        self._constant_D = images_MD[0].copy()
        self._varies_D = images_MD.min(axis=0) != images_MD.max(axis=0)
        starts = range(0, len(images_MD), _BLOCK)
        self._blocks = self._side_by_side(self._block, [images_MD[start : start + _BLOCK] for start in starts])

    def __len__(self) -> int:
        return self._size

    def nearest(self, queries_ND: NDArray[np.uint8], k: int) -> Nearest:
        """Of each query the k nearest, or all where there are fewer. UsageError for other images or k."""
        values = len(self._varies_D)
        if queries_ND.ndim != 2 or queries_ND.dtype != np.uint8 or queries_ND.shape[1] != values:
            raise UsageError(
                f"queries are uint8 rows of {values} values (got {queries_ND.dtype}, shape={queries_ND.shape})."
            )
        if not 1 <= k <= MOST_K:
            raise UsageError(f"k must be in [1, {MOST_K}] (got {k}).")
        tile = max(1, min(_TILE, -(-len(queries_ND) // self._threads)))
        tiles = [queries_ND[start : start + tile] for start in range(0, len(queries_ND), tile)]
        found = self._side_by_side(lambda queries_QD: self._of_tile(queries_QD, k), tiles)
        keys_NK = np.concatenate(found) if found else np.empty((0, k), np.int64)
        return _apart(keys_NK[:, : self._size])

    def _side_by_side(
        self, call: Callable[[NDArray[np.uint8]], Made], parts: Sequence[NDArray[np.uint8]]
    ) -> list[Made]:
        """By threads of our own: a product of this size is too small to be cut for several."""
        pool = ThreadPoolExecutor(self._threads, "neighbours", torch.set_num_threads, (1,))
        try:
            return list(pool.map(call, parts))
        finally:
            pool.shutdown(cancel_futures=True)

    def _of_tile(self, queries_QD: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
        signed_QD = np.ascontiguousarray(self._signed(queries_QD).T)
        offsets_Q = _squares(signed_QD.T) + self._apart_by_constants(queries_QD)
        best_QK = np.full((len(queries_QD), k), _NONE)
        bounds_Q = np.full(len(queries_QD), _FAR, np.int32)
        room = torch.empty(len(queries_QD) * _BLOCK, dtype=torch.int32)
        for number, (images_DM, norms_M) in enumerate(self._blocks):
            values_QM = room[: len(queries_QD) * len(norms_M)].view(len(queries_QD), len(norms_M))
            self._multiply(torch.from_numpy(signed_QD), images_DM, values_QM)
            torch.sub(norms_M, values_QM, alpha=2, out=values_QM)
            rows, columns, values = _below(values_QM, bounds_Q, k, is_first=number == 0)
            if not len(rows):
                continue
            keys = (values + offsets_Q[rows]) << _INDEX_BITS | (self._first + number * _BLOCK + columns)
            _insert(best_QK, rows, keys)
            bounds_Q = np.minimum((best_QK[:, -1] >> _INDEX_BITS) - offsets_Q, _FAR).astype(np.int32)
        return best_QK

    def _block(self, images_MD: NDArray[np.uint8]) -> _Block:
        signed_DM = self._signed(images_MD)
        empty = (0, -len(images_MD) % _GROUPS)
        images_DM = functional.pad(torch.from_numpy(signed_DM), empty)
        return _Block(images_DM, functional.pad(torch.from_numpy(_squares(signed_DM)), empty, value=_FAR))

    def _signed(self, pixels_MD: NDArray[np.uint8]) -> NDArray[np.int8]:
        """(D, M), 128 less, of the values that are not the same in all images."""
        return np.asarray((pixels_MD.T[self._varies_D] ^ np.uint8(128)).view(np.int8))

    def _apart_by_constants(self, queries_QD: NDArray[np.uint8]) -> NDArray[np.int64]:
        """What the values that are the same in all images add to a query's distances."""
        apart = queries_QD[:, ~self._varies_D].astype(np.int64) - self._constant_D[~self._varies_D]
        return np.asarray((apart * apart).sum(axis=1))


def _squares(signed_DM: NDArray[np.int8]) -> NDArray[np.int32]:
    """(M,) the sum of squares of each column."""
    return np.asarray(np.einsum("dm,dm->m", signed_DM, signed_DM, dtype=np.int32))


def _below(
    values_QM: Tensor, bounds_Q: NDArray[np.int32], k: int, *, is_first: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, in order, columns and values of what is below its row's bound; in the first block, of its k least."""
    groups_QPG = values_QM.view(len(values_QM), -1, _GROUPS)
    least_QG = groups_QPG.amin(dim=1).numpy()
    if is_first:
        bounds_Q = np.partition(least_QG, k - 1, axis=1)[:, k - 1]
        bounds_Q = np.minimum(bounds_Q.astype(np.int64) + 1, _FAR).astype(np.int32)
    rows, groups = np.nonzero(least_QG < bounds_Q[:, None])
    values = groups_QPG.numpy()[rows, :, groups]
    found, places = np.nonzero(values < bounds_Q[rows][:, None])
    rows, groups = rows[found], groups[found]
    return rows, places * _GROUPS + groups, values[found, places].astype(np.int64)


def _insert(best_QK: NDArray[np.int64], rows: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
    """Put keys, each of its row, among the least of that row. Rows are in order."""
    counts_Q = np.bincount(rows, minlength=len(best_QK))
    touched = np.flatnonzero(counts_Q)
    counts = counts_Q[touched]
    k = best_QK.shape[1]
    wide = np.full((len(touched), k + counts.max()), _NONE)
    wide[:, :k] = best_QK[touched]
    within = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    wide[np.repeat(np.arange(len(touched)), counts), k + within] = keys
    wide.sort(axis=1)
    best_QK[touched] = wide[:, :k]
