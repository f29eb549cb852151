"""A network of one's own, of which all packets can be lost: a namespace of the system, where that is permitted."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess
from pathlib import Path

UNSHARE = ("unshare", "--map-root-user", "--net", "--")
"""Before a command that is to have a network of its own."""
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_REQUEST = struct.Struct("16sh14x")
_TRY_DEADLINE_S = 10.0


def why_no_network() -> str | None:
    """None where a process of ours may have a network of its own; else why not."""
    if shutil.which(UNSHARE[0]) is None:
        return "a network of its own needs `unshare` of util-linux, which is not installed"
    try:
        tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, timeout=_TRY_DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a network of its own cannot be had: {error}"
    if tried.returncode:
        return f"a network of its own is not permitted here: {tried.stderr.strip()}"
    return None


def this_network() -> str:
    """Tells the networks of this machine apart."""
    return str(Path("/proc/self/ns/net").readlink())


def set_network(up: bool) -> None:
    """Switch the loopback interface of this process's network, which is its own, on or off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        flags = _REQUEST.unpack(answer)[1]
        wanted = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", wanted))
