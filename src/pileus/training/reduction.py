"""Exact all-reduce: a reduce-scatter and an all-gather whose sums follow the canonical tree.

Each of W workers owns one slice of the vector. It gets that slice of every partial sum from its peers, adds them along
the tree, and hands the result round. A worker sends and receives about 2 (W-1)/W times the vector's bytes a step where
shares are aligned with the tree, as in ring all-reduce (Patarasuk and Yuan, 2009), in 2 messages per peer; uneven
shares send one slice for each of their nodes, at most about log2 of the microbatches.
"""

from __future__ import annotations

from pileus.data.batches import share
from pileus.training.exchange.ports import Exchange
from pileus.training.tree import Node, TreeSum, Vector, cover

_ALIGN = 16


class AllReduce:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._peers = [rank for rank in range(exchange.size) if rank != exchange.rank]

    def agree(self, sums: dict[Node, Vector], num_leaves: int, into: Vector) -> None:
        """From this worker's partial sums over its share of the leaves to the sum over all, written to `into`.

        The bits are those of the canonical tree over all leaves. PeerLost when a peer is gone.
        """
        exchange = self._exchange
        if exchange.size == 1:
            into[:] = sums[0, num_leaves]
            return
        cuts = [_cut(len(into), rank, exchange.size) for rank in range(exchange.size)]
        mine = cuts[exchange.rank]
        nodes = {rank: cover(share(rank, exchange.size, num_leaves), num_leaves) for rank in range(exchange.size)}
        held = nodes[exchange.rank]
        received = {
            peer: [into[mine].copy() for _ in nodes[peer]] for peer in self._peers if nodes[peer] and _length(mine)
        }
        exchange.swap(
            {peer: [sums[node][cuts[peer]] for node in held] for peer in self._peers if held and _length(cuts[peer])},
            received,
        )
        if _length(mine):
            into[mine] = _added([(node, sums[node][mine]) for node in held], nodes, received, num_leaves)
        exchange.swap(
            {peer: [into[mine]] for peer in self._peers if _length(mine)},
            {peer: [into[cuts[peer]]] for peer in self._peers if _length(cuts[peer])},
        )


def _added(
    own: list[tuple[Node, Vector]],
    nodes: dict[int, tuple[Node, ...]],
    received: dict[int, list[Vector]],
    num_leaves: int,
) -> Vector:
    total = TreeSum(num_leaves)
    for node, vector in own:
        total.add(node, vector)
    for peer, vectors in received.items():
        for node, vector in zip(nodes[peer], vectors, strict=True):
            total.add(node, vector)
    return total.sums[0, num_leaves]


def _cut(size: int, rank: int, num_workers: int) -> slice:
    """The slice that a rank owns, on whole lines of the cache but for the last."""
    lines = -(-size // _ALIGN)
    start, stop = share(rank, num_workers, lines)
    return slice(min(start * _ALIGN, size), min(stop * _ALIGN, size))


def _length(cut: slice) -> int:
    return int(cut.stop - cut.start)
