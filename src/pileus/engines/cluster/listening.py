"""The ports that TF_CONFIG names."""

from __future__ import annotations

import socket

from pileus.engines.hosts.address import Address
from pileus.errors import MissingService

_BACKLOG = 512


def listening(address: Address, whose: str) -> socket.socket:
    """MissingService where the port cannot be had."""
    try:
        return socket.create_server((address.interface, address.port), backlog=_BACKLOG)
    except OSError as error:
        raise MissingService(
            f"{whose} listens at port {address.port}, which cannot be had: {error.strerror}; "
            "end what holds it (another run?), or name another port in TF_CONFIG on every host."
        ) from error
