"""What exchanges are used for beside gradients: every worker tells every other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pileus.training.exchange.ports import Exchange


def all_gather(exchange: Exchange, own: NDArray[Any]) -> list[NDArray[Any]]:
    """The arrays of all workers, by rank, the same on each; they have one shape and type. PeerLost when one is gone."""
    peers = [rank for rank in range(exchange.size) if rank != exchange.rank]
    told = {peer: np.empty_like(own) for peer in peers}
    exchange.swap({peer: [own] for peer in peers}, {peer: [array] for peer, array in told.items()})
    told[exchange.rank] = own
    return [told[rank] for rank in range(exchange.size)]
