"""Memory of one drive of a run that outlives its workers: two unnamed files, written in turn.

The controller holds them open; the system frees them with the last process that does. A write that a death cut short
leaves no valid head, and then the other file is what counts.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence

import numpy as np

from pileus.records.frame import crc32c

_HEAD = struct.Struct("<QQI")
"""Number of the write, from 1; bytes; CRC32C of them."""
_START = 64


class Memory:
    """One process writes at a time."""

    def __init__(self, descriptors: tuple[int, int]) -> None:
        """Takes over the open files."""
        self.descriptors = descriptors

    @classmethod
    def new(cls) -> Memory:
        return cls((os.memfd_create("pileus-memory-0"), os.memfd_create("pileus-memory-1")))

    def keep(self, parts: Sequence[memoryview]) -> None:
        newest = max(self._number(each) for each in self.descriptors)
        target = min(self.descriptors, key=self._number)
        size = sum(part.nbytes for part in parts)
        os.ftruncate(target, _START + size)
        os.pwrite(target, bytes(_HEAD.size), 0)
        crc, at = 0, _START
        with mmap.mmap(target, _START + size) as mapped:
            for part in parts:
                mapped[at : at + part.nbytes] = part
                crc = crc32c(np.frombuffer(part, np.uint8), crc)
                at += part.nbytes
        os.pwrite(target, _HEAD.pack(newest + 1, size, crc), 0)

    def kept(self) -> bytes | None:
        """The newest that is whole; None where nothing was kept."""
        for descriptor in sorted(self.descriptors, key=self._number, reverse=True):
            number, size, crc = self._head(descriptor)
            content = os.pread(descriptor, size, _START) if number else b""
            if number and len(content) == size and crc32c(content) == crc:
                return content
        return None

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)

    def _number(self, descriptor: int) -> int:
        return self._head(descriptor)[0]

    @staticmethod
    def _head(descriptor: int) -> tuple[int, int, int]:
        head = os.pread(descriptor, _HEAD.size, 0)
        return _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, 0)
