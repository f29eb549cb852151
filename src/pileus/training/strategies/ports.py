"""The port of synchronous strategies."""

from __future__ import annotations

from typing import Protocol

from pileus.training.tree import Node, Vector


class Strategy(Protocol):
    def agree(self, sums: dict[Node, Vector], num_leaves: int, into: Vector) -> None:
        """From this worker's partial sums over its share of the leaves to the sum over all, written to `into`.

        The bits are those of the canonical tree over all leaves. PeerLost when a peer is gone.
        """
        ...
