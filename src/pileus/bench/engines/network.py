"""Bytes that went over this machine's network interfaces, as the system counts them: of every process in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import psutil

_LOOPBACK = "lo"


class Counted(Protocol):
    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_recv(self) -> int: ...


def moved_bytes() -> int:
    """So far, with the heads of packets."""
    return total_bytes(psutil.net_io_counters(pernic=True))


def total_bytes(counters: Mapping[str, Counted]) -> int:
    """What the loopback took in, since it takes in all that it sends; of others both ways."""
    return sum(
        each.bytes_recv if name == _LOOPBACK else each.bytes_recv + each.bytes_sent for name, each in counters.items()
    )
