"""Frames between workers and parameter servers: a head of fixed size, the lengths of its arrays, the arrays' bytes.

No pickle; sizes are checked before memory is taken; bytes go from the sender's array and into the receiver's without
a copy on the way. A worker has one request under way with a server and gets one answer to it.
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pileus.spec.values import digest

_MAGIC = b"PLS1"
"""Protocol and version."""
_HEAD = struct.Struct("<4s8sBBHIqdIIHH")
_LENGTH = struct.Struct("<Q")
_MOST_ARRAYS = 256
_LARGEST_BYTES = 64 << 30
SECRET_BYTES = 32


class Kind(enum.IntEnum):
    HELLO = 1
    """A worker that calls, with the session's secret."""
    BEGIN = 2
    """Rank 0's: what the shard starts from."""
    PUSH = 3
    """Sums of a step; it asks for the weights of the next."""
    SETTLE = 4
    """It asks for the state after the last step, when all workers ask."""
    RELEASE = 5
    """The worker needs the server no more."""
    ANSWER = 6
    REFUSED = 7
    """With the reason, as text."""


class Head(NamedTuple):
    kind: Kind
    worker: int = 0
    clock: int = 0
    """The step, counted from 0 over all epochs."""
    lr: float = 0.0
    num_leaves: int = 0
    """Microbatches of the whole batch; of HELLO: the number of workers."""
    samples: int = 0
    """Behind these sums."""
    stops: int = 0
    commits: int = 0
    """With a push: what rank 0 asks of all; with an answer: what all are to do after this very step."""


class Refused(Exception):  # noqa: N818 - what the other end is told
    """A frame that is not due, or none at all."""


class Seal(NamedTuple):
    """What members of one launch of a gang show each other."""

    secret: bytes

    @classmethod
    def of(cls, session: str) -> Seal:
        return cls(bytes.fromhex(digest(session.encode())))

    @property
    def tag(self) -> bytes:
        return self.secret[:8]


Place = Callable[[Head, list[int]], Sequence[NDArray[Any]]]
"""From a head and the lengths in bytes to the arrays to be filled, of these lengths; Refused where none are due."""


def frame_bytes(num_arrays: int, body_bytes: int) -> int:
    return _HEAD.size + num_arrays * _LENGTH.size + body_bytes


class Outgoing:
    """A frame on its way out."""

    def __init__(self, seal: Seal, head: Head, arrays: Sequence[NDArray[Any]] = ()) -> None:
        lengths = [array.nbytes for array in arrays]
        assert len(lengths) <= _MOST_ARRAYS
        start = _HEAD.pack(_MAGIC, seal.tag, head.kind, 0, len(lengths), *head[1:])
        table = b"".join(map(_LENGTH.pack, lengths))
        self._views = [memoryview(start + table), *_views(arrays)]
        self.num_bytes = frame_bytes(len(lengths), sum(lengths))

    def send(self, link: socket.socket) -> bool:
        """True when all is sent; False where the link takes no more for now. OSError when it is broken."""
        views = self._views
        while views:
            try:
                sent = link.sendmsg(views)
            except BlockingIOError:
                return False
            while views and sent >= views[0].nbytes:
                sent -= views.pop(0).nbytes
            if sent:
                views[0] = views[0][sent:]
        return True


class Incoming:
    """A frame on its way in."""

    def __init__(self, seal: Seal, place: Place) -> None:
        self._seal = seal
        self._place = place
        self._head: Head | None = None
        self._num_arrays = 0
        self._table: bytearray | None = None
        self._start = bytearray(_HEAD.size)
        self._targets = [memoryview(self._start)]
        self.arrays: Sequence[NDArray[Any]] = ()

    def receive(self, link: socket.socket) -> Head | None:
        """The head when all has come; None where nothing more is there for now.

        OSError when the link is broken, Refused for what is no frame of this session or is not due.
        """
        while True:
            while self._targets:
                try:
                    got = link.recv_into(self._targets[0])
                except BlockingIOError:
                    return None
                if got == 0:
                    raise ConnectionResetError("the other end was closed")
                self._targets[0] = self._targets[0][got:]
                if not self._targets[0].nbytes:
                    self._targets.pop(0)
            if self._head is None:
                self._head = self._opened()
                self._table = bytearray(self._num_arrays * _LENGTH.size)
                self._targets = [memoryview(self._table)] if self._table else []
            elif self._table is not None:
                self._targets = self._targets_of(self._head, self._table)
                self._table = None
            else:
                return self._head

    def _opened(self) -> Head:
        magic, tag, kind, _, num_arrays, *rest = _HEAD.unpack(self._start)
        known = magic == _MAGIC and tag == self._seal.tag and kind in Kind._value2member_map_
        if not known or num_arrays > _MOST_ARRAYS:
            raise Refused("this is no frame of this session's protocol")
        self._num_arrays = num_arrays
        return Head(Kind(kind), *rest)

    def _targets_of(self, head: Head, table: bytearray) -> list[memoryview]:
        lengths = [length for (length,) in _LENGTH.iter_unpack(table)]
        if sum(lengths) > _LARGEST_BYTES:
            raise Refused(f"a frame of {sum(lengths)} bytes is too large")
        self.arrays = self._place(head, lengths)
        assert [array.nbytes for array in self.arrays] == lengths
        return _views(self.arrays)


def _views(arrays: Sequence[NDArray[Any]]) -> list[memoryview]:
    return [memoryview(array).cast("B") for array in arrays if array.nbytes]  # type: ignore[arg-type]
