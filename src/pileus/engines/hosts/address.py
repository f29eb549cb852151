"""By what a host is called."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import NamedTuple

_ANSWER_S = 10.0


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Surely: what a name means elsewhere is not looked up."""
        with contextlib.suppress(ValueError):
            return ipaddress.IPv4Address(self.host).is_loopback
        return self.host == "localhost"

    @property
    def interface(self) -> str:
        """What to listen at: a name may mean an address that this host does not have itself, as of a service."""
        return "127.0.0.1" if self.is_loopback else ""


def facing(host: str, port: int) -> str:
    """By what address that host sees this one; OSError where nothing answers there."""
    with socket.create_connection((host, port), timeout=_ANSWER_S) as connection:
        return str(connection.getsockname()[0])
