"""A connection between the chief's host and another, with every message proved.

A frame is `length, proof, document`. The proof is an HMAC over the direction, the number of the frame and the document,
so that a frame can be neither made, changed, repeated nor left out by who does not know the key. The system itself
notices a peer that is gone without a word (keep-alive), so that no link waits for ever.
"""

from __future__ import annotations

import hmac
import socket
import struct
import time
from typing import Any

import msgspec

from pileus.engines.hosts.secret import proof

_LENGTH = struct.Struct("<I")
_PROOF_BYTES = 32
_LARGEST_BYTES = 16 << 20
_SEND_DEADLINE_S = 20.0
_GONE_AFTER_S = 30
_KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 4,
    socket.TCP_USER_TIMEOUT: _GONE_AFTER_S * 1000,
}


class Link:
    """One thread uses it."""

    def __init__(self, connection: socket.socket, key: bytes, *, side: str) -> None:
        """`side`: 'chief' or 'agent', which of the two this end is."""
        self._socket = connection
        self._key = key
        self._outward, self._inward = side, "agent" if side == "chief" else "chief"
        self._sent = self._received = 0
        self._pending = bytearray()
        self._socket.settimeout(_SEND_DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def own_host(self) -> str:
        """By what address the other end sees this host."""
        return str(self._socket.getsockname()[0])

    def send(self, message: msgspec.Struct) -> None:
        """OSError where the other end is gone or takes nothing."""
        content = msgspec.msgpack.encode(message)
        shown = proof(self._key, self._outward, self._sent.to_bytes(8), content)
        self._sent += 1
        self._socket.sendall(_LENGTH.pack(len(content)) + shown + content)

    def receive(self, kind: Any) -> list[Any] | None:
        """The messages that are now whole, once there is something to read; None where the other end is of no use."""
        try:
            part = self._socket.recv(1 << 16)
            if not part:
                return None
            self._pending += part
            return self._whole(kind)
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        self._socket.close()

    def _whole(self, kind: Any) -> list[Any]:
        messages = []
        head = _LENGTH.size + _PROOF_BYTES
        while len(self._pending) >= head:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > _LARGEST_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._pending) < head + length:
                break
            content = bytes(self._pending[head : head + length])
            due = proof(self._key, self._inward, self._received.to_bytes(8), content)
            if not hmac.compare_digest(due, bytes(self._pending[_LENGTH.size : head])):
                raise ValueError("a frame without proof")
            self._received += 1
            messages.append(msgspec.msgpack.decode(content, type=kind))
            del self._pending[: head + length]
        return messages


def send_plain(connection: socket.socket, message: msgspec.Struct) -> None:
    """Before there is a key."""
    content = msgspec.msgpack.encode(message)
    connection.sendall(_LENGTH.pack(len(content)) + content)


def receive_plain(connection: socket.socket, kind: Any, *, largest: int, until: float) -> Any:
    """One message; OSError or ValueError where none comes by then, or it is not of that kind."""
    (length,) = _LENGTH.unpack(read_exactly(connection, _LENGTH.size, until))
    if length > largest:
        raise ValueError(f"a message of {length} bytes")
    return msgspec.msgpack.decode(read_exactly(connection, length, until), type=kind)


def read_exactly(connection: socket.socket, size: int, until: float) -> bytes:
    content = b""
    while len(content) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it says nothing")
        connection.settimeout(left)
        part = connection.recv(size - len(content))
        if not part:
            raise ConnectionResetError("it hung up")
        content += part
    return content
