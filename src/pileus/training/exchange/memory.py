"""What one process puts out for another of the same host, in memory that both map.

A loopback connection copies bytes into the system and out of it in small parts. Here they are written once and read
once, and the connection carries no more than the word that they are there: so a death, a silence and an order are told
by it as ever.

Who puts out says where: its process, a descriptor, and a secret that stands at the head of the memory. A peer that
cannot open that or finds another secret there (other host, other container, other user) says no, and is sent bytes.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct

_OFFER = struct.Struct("<qq16s")
OFFER_BYTES = _OFFER.size
NO_OFFER = _OFFER.pack(0, -1, bytes(16))
_START = mmap.PAGESIZE
"""Where the first half begins; the secret stands before it."""


class Outbox:
    """Of one process for one peer: two halves, written in turn, so that one may be read as the other is written."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)
        self._descriptor = os.memfd_create("pileus-exchange")
        self._half_bytes = 0
        self._puts = 0
        os.pwrite(self._descriptor, self._secret, 0)
        self._map = self._mapped()

    @property
    def offer(self) -> bytes:
        return _OFFER.pack(os.getpid(), self._descriptor, self._secret)

    def put(self, views: list[memoryview], *, all_taken: bool) -> int | None:
        """Where in the memory the bytes now begin. The put before the last one has been taken.

        None, and nothing is put, where there is no room and the memory may not move: what is in it was not `all_taken`.
        """
        size = sum(view.nbytes for view in views)
        if size > self._half_bytes:
            if not all_taken:
                return None
            self._half_bytes = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            self._map.close()
            self._map = self._mapped()
        start = at = _START + self._puts % 2 * self._half_bytes
        for view in views:
            self._map[at : at + view.nbytes] = view
            at += view.nbytes
        self._puts += 1
        return start

    def close(self) -> None:
        self._map.close()
        os.close(self._descriptor)

    def _mapped(self) -> mmap.mmap:
        size = _START + 2 * self._half_bytes
        os.ftruncate(self._descriptor, size)
        return mmap.mmap(self._descriptor, size)


class Inbox:
    """A peer's outbox, as it is read here."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the open file."""
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    @classmethod
    def of(cls, offer: bytes) -> Inbox | None:
        """None where it cannot be reached from here."""
        process, number, secret = _OFFER.unpack(offer)
        if number < 0:
            return None
        try:
            descriptor = os.open(f"/proc/{process}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            found = secrets.compare_digest(os.pread(descriptor, len(secret), 0), secret)
        except OSError:
            found = False
        if not found:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def take(self, start: int, targets: list[memoryview]) -> bool:
        """Fill the targets; False where the memory does not reach so far."""
        stop = start + sum(target.nbytes for target in targets)
        if self._map is None or len(self._map) < stop:
            self.release()
            if os.fstat(self._descriptor).st_size < stop:
                return False
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        with memoryview(self._map) as view:
            for target in targets:
                target[:] = view[start : start + target.nbytes]
                start += target.nbytes
        return True

    def release(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None

    def close(self) -> None:
        self.release()
        os.close(self._descriptor)


def new_outbox() -> Outbox | None:
    """None where the system has no unnamed files."""
    return Outbox() if hasattr(os, "memfd_create") else None
