"""Framed messages over a socket pair between the controller and one worker process. No pickle."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from pileus.spec.job import Job
from pileus.spec.values import Spec

_LENGTH = struct.Struct("<I")
_LARGEST_BYTES = 16 << 20


class Posting(Spec, frozen=True, kw_only=True):
    """The first message to a worker process."""

    job: Job
    rank: int
    local_rank: int
    """Among the gang's ranks on this host; where that is not known, one that no other rank of it has."""
    cores: int
    controller_pid: int
    host: str = "127.0.0.1"
    """By what name peers call this host."""


class Channel:
    """Sends are safe from any thread; one thread receives."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._pending = bytearray()

    def fileno(self) -> int:
        return self._link.fileno()

    def send(self, message: msgspec.Struct) -> None:
        """OSError when the other end is gone."""
        content = msgspec.msgpack.encode(message)
        with self._lock:
            self._link.sendall(_LENGTH.pack(len(content)) + content)

    def send_with(self, message: msgspec.Struct, descriptors: Sequence[int]) -> None:
        """The first message of a channel, and open files along with it."""
        content = msgspec.msgpack.encode(message)
        with self._lock:
            sent = socket.send_fds(self._link, [_LENGTH.pack(len(content)) + content], list(descriptors))
            self._link.sendall((_LENGTH.pack(len(content)) + content)[sent:])

    def receive_with(self, kind: Any, num_descriptors: int) -> tuple[list[Any] | None, list[int]]:
        """As `receive`, and the open files that came along."""
        try:
            part, descriptors, _, _ = socket.recv_fds(self._link, 1 << 16, num_descriptors)
        except OSError:
            return None, []
        return self._whole(part, kind), descriptors

    def receive(self, kind: Any) -> list[Any] | None:
        """Block for bytes, and give the messages that are now whole; None when the other end is gone."""
        try:
            part = self._link.recv(1 << 16)
        except OSError:
            return None
        return self._whole(part, kind)

    def _whole(self, part: bytes, kind: Any) -> list[Any] | None:
        if not part:
            return None
        self._pending += part
        messages = []
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            assert length <= _LARGEST_BYTES, f"message of {length} bytes"
            end = _LENGTH.size + length
            if len(self._pending) < end:
                break
            messages.append(msgspec.msgpack.decode(bytes(self._pending[_LENGTH.size : end]), type=kind))
            del self._pending[:end]
        return messages

    def close(self) -> None:
        self._link.close()
