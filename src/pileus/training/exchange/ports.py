"""The port of exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Buffers = Mapping[int, Sequence[NDArray[Any]]]
"""Contiguous arrays by the rank of the peer."""


class Exchange(Protocol):
    """One worker's end. All workers call `swap` in the same order, each with sizes that fit its peers'."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def swap(self, outgoing: Buffers, incoming: Buffers) -> None:
        """Send every array of `outgoing` and fill every array of `incoming`; returns when all is done.

        PeerLost names the rank that closed, fell silent past the deadline, or is out of step.
        """
        ...

    def close(self) -> None: ...


class Alone:
    """The exchange of a gang of one."""

    rank = 0
    size = 1

    def swap(self, outgoing: Buffers, incoming: Buffers) -> None:
        assert not outgoing and not incoming, "a gang of one has no peers"

    def close(self) -> None:
        return None
