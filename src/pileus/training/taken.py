"""What a gang has trained on since the last page of the ledger: each worker notes its own, rank 0 gathers it.

Every worker gathers at the same steps. What rank 0 has gathered waits for the page; a commit to memory holds it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.training.exchange.ports import Exchange
from pileus.training.ledger import Page, PageHead

Positions = NDArray[np.uint32]
"""In the record set."""
_NONE = np.empty(0, np.uint32)


class Pending(NamedTuple):
    """On rank 0: what the next page will hold."""

    positions: Positions = _NONE
    marks: NDArray[np.uint32] = _NONE


class Taken:
    """One worker's notes."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._counts: list[int] = []
        """Samples of this worker, by step."""
        self._own: list[Positions] = []
        self._marks: list[int] = []
        self.pending = Pending()

    def note(self, own: list[Positions], mark: int | None) -> None:
        """One step: what this worker took, by microbatch, and on rank 0 the mark of the weights after it."""
        self._counts.append(sum(map(len, own)))
        self._own += own
        if mark is not None:
            self._marks.append(mark)

    def gather(self) -> None:
        """Add to `pending` on rank 0 what all took since, by step and rank. PeerLost when one is gone."""
        counts, own = np.asarray(self._counts, np.uint32), np.concatenate([*self._own, _NONE])
        marks = np.asarray(self._marks, np.uint32)
        self._counts, self._own, self._marks = [], [], []
        if not len(counts):
            return
        if self._exchange.rank != 0:
            self._exchange.swap({0: [counts]}, {})
            self._exchange.swap({0: [own]} if len(own) else {}, {})
            return
        peers = range(1, self._exchange.size)
        told = {0: counts} | {peer: np.empty_like(counts) for peer in peers}
        self._exchange.swap({}, {peer: [told[peer]] for peer in peers})
        taken = {0: own} | {peer: np.empty(int(told[peer].sum()), np.uint32) for peer in peers}
        self._exchange.swap({}, {peer: [taken[peer]] for peer in peers if len(taken[peer])})
        by_step = {rank: np.split(taken[rank], np.cumsum(told[rank])[:-1]) for rank in sorted(taken)}
        gathered = [by_step[rank][step] for step in range(len(counts)) for rank in by_step]
        self.pending = Pending(
            np.concatenate([self.pending.positions, *gathered]), np.concatenate([self.pending.marks, marks])
        )

    def page(self, epoch: int, steps: tuple[int, int], first_global_step: int, previous: str | None) -> Page | None:
        """On rank 0: what is pending, as the page of the steps [first, last) of an epoch; None for nothing."""
        positions, marks = self.pending
        self.pending = Pending()
        if not len(positions):
            return None
        head = PageHead(
            epoch=epoch,
            first_step=steps[0],
            last_step=steps[1],
            samples=len(positions),
            previous=previous,
            first_global_step=first_global_step,
            marked=len(marks) == steps[1] - steps[0],
        )
        return Page(head, positions, marks if head.marked else _NONE)
