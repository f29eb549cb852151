"""Connected components of a mask, by its runs: numpy alone, in time that grows with the number of runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Runs(NamedTuple):
    """Maximal runs of set pixels within rows, in reading order."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    """Half-open: [start, stop)."""


class Components(NamedTuple):
    """C components, in the order of their first run. Boxes are half-open."""

    of_run: NDArray[np.int64]
    """(R,) the component of each run."""
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    right: NDArray[np.int64]
    bottom: NDArray[np.int64]
    area: NDArray[np.int64]
    """Pixels."""

    def __len__(self) -> int:
        return len(self.area)


def runs_of(mask_HW: NDArray[np.bool_]) -> Runs:
    height, width = mask_HW.shape
    wide = np.zeros((height, width + 2), np.int8)
    wide[:, 1:-1] = mask_HW
    edges = np.flatnonzero(np.diff(wide, axis=1).ravel())
    starts, stops = edges[0::2], edges[1::2]
    rows = starts // (width + 1)
    return Runs(rows, starts - rows * (width + 1), stops - rows * (width + 1))


def components_of(runs: Runs) -> Components:
    """Runs of neighbouring rows are one where they touch, also by a corner."""
    upper, lower = _touching(runs)
    roots = np.arange(len(runs.rows))
    while True:
        one, other = roots[upper], roots[lower]
        differ = one != other
        if not differ.any():
            break
        one, other = one[differ], other[differ]
        np.minimum.at(roots, np.maximum(one, other), np.minimum(one, other))
        while (roots[roots] != roots).any():
            roots = roots[roots]
    return boxed(runs, np.unique(roots, return_inverse=True)[1])


def boxed(runs: Runs, of_run: NDArray[np.int64]) -> Components:
    """Of runs whose components are known."""
    count = int(of_run.max()) + 1 if len(of_run) else 0
    lengths = runs.stops - runs.starts
    area = np.bincount(of_run, weights=lengths, minlength=count).astype(np.int64)
    left, right = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    top, bottom = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    np.minimum.at(left, of_run, runs.starts)
    np.maximum.at(right, of_run, runs.stops)
    np.minimum.at(top, of_run, runs.rows)
    np.maximum.at(bottom, of_run, runs.rows + 1)
    return Components(of_run, left, top, right, bottom, area)


def _touching(runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (upper, lower) of runs, in neighbouring rows, that touch."""
    if not len(runs.rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    length = int(runs.stops.max()) + 2
    below = (runs.rows + 1) * length
    first = np.searchsorted(runs.rows * length + runs.stops, below + runs.starts, side="left")
    last = np.searchsorted(runs.rows * length + runs.starts, below + runs.stops, side="right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(runs.rows)), counts)
    number = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + number


def painted(runs: Runs, values: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W): each run filled with its value, -1 elsewhere. Values must be 0 or more."""
    marks = np.zeros(shape[0] * shape[1] + 1, np.int32)
    begin = runs.rows * shape[1]
    np.add.at(marks, begin + runs.starts, (values + 1).astype(np.int32))
    np.subtract.at(marks, begin + runs.stops, (values + 1).astype(np.int32))
    return np.cumsum(marks[:-1], dtype=np.int32).reshape(shape) - 1
