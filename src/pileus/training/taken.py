"""What a gang has trained on since the last page of the ledger, and how rank 0 gathers it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pileus.data.batches import share
from pileus.training.exchange.ports import Exchange

Positions = NDArray[np.uint32]
"""In the record set."""


class Taken:
    """One worker's notes. Every worker gathers at the same steps."""

    def __init__(self, exchange: Exchange, microbatch_size: int) -> None:
        self._exchange = exchange
        self._microbatch_size = microbatch_size
        self._batches: list[int] = []
        """Samples of the whole batch, by step."""
        self._own: list[Positions] = []

    def note(self, batch_size: int, own: list[Positions]) -> None:
        """One step: the samples of the whole batch, and what this worker took of them, by microbatch."""
        self._batches.append(batch_size)
        self._own += own

    def gathered(self) -> Positions | None:
        """On rank 0 what all workers took, in the order of steps and microbatches; None elsewhere, or for nothing.

        The notes begin anew. PeerLost when a peer is gone.
        """
        batches, own = self._batches, np.concatenate([*self._own, np.empty(0, np.uint32)])
        self._batches, self._own = [], []
        if not batches:
            return None
        if self._exchange.rank != 0:
            self._exchange.swap({0: [own]} if len(own) else {}, {})
            return None
        sizes = {rank: [self._size(rank, batch) for batch in batches] for rank in range(self._exchange.size)}
        coming = {rank: [np.empty(sum(steps), np.uint32)] for rank, steps in sizes.items() if rank > 0 and any(steps)}
        self._exchange.swap({}, coming)
        by_rank = {0: own} | {rank: arrays[0] for rank, arrays in coming.items()}
        by_step = {rank: np.split(taken, np.cumsum(sizes[rank])[:-1]) for rank, taken in by_rank.items()}
        return np.concatenate([by_step[rank][step] for step in range(len(batches)) for rank in sorted(by_step)])

    def _size(self, rank: int, batch: int) -> int:
        """How many samples of a batch a rank takes."""
        low, high = share(rank, self._exchange.size, math.ceil(batch / self._microbatch_size))
        return min(high * self._microbatch_size, batch) - min(low * self._microbatch_size, batch)
