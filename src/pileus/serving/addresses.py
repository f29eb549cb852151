"""The listening socket, and who can reach it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from pileus.errors import UsageError

_BACKLOG = 1024

_REASONS = {
    errno.EADDRINUSE: "it is in use; stop what listens there or choose another with --port (0 finds a free one)",
    errno.EACCES: "permission denied; choose a port of 1024 or above with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one of its own with --host",
}


def bind(host: str, port: int) -> socket.socket:
    """Bound and listening, so that who connects while the model loads waits in place of being refused."""
    if not 0 <= port <= 65535:
        raise UsageError(f"a port is in [0, 65535] (got {port}); choose another with --port.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UsageError(f"there is no address {host!r} ({error}); choose another with --host.") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = _REASONS.get(error.errno or 0, str(error))
        raise UsageError(f"cannot listen on port {port} of {host}: {reason}.") from error
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
