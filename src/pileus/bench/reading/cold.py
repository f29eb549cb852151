"""Files in and out of the system's page cache, without being root, and the proof of where reads came from.

The system may ignore the advice to forget a page (one that is mapped, or a file system in memory), so what is said to
be cold is looked at: how much of the files is in memory, and what this process had read from the disk.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pileus.machine import read_text

_PIECE_BYTES = 4 << 20
_SYNCED_TOGETHER = 16


def forget(paths: Iterable[Path]) -> None:
    """Have the page cache drop these files. Pages that are not yet written cannot be: see `write_out`."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def write_out(paths: Iterable[Path]) -> None:
    """Wait until these files are on their disk; many at a time, for the disk takes them together."""
    with ThreadPoolExecutor(_SYNCED_TOGETHER, "sync") as pool:
        for _ in pool.map(_sync, paths):
            pass


def recall(paths: Iterable[Path]) -> None:
    """Read these files, so that the page cache holds them."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(_PIECE_BYTES):
                pass


def resident_share(paths: Iterable[Path]) -> float | None:
    """Of the files' pages, the share that is in memory; None where the system does not tell or there is no page."""
    resident, total = 0, 0
    for path in paths:
        if path.stat().st_size == 0:
            continue
        found = _resident_pages(path)
        if found is None:
            return None
        resident, total = resident + found[0], total + found[1]
    return resident / total if total else None


def disk_bytes() -> int | None:
    """Bytes that the storage gave to this process so far; None where the system does not tell."""
    for line in read_text(Path("/proc/self/io")).splitlines():
        name, _, value = line.partition(":")
        if name == "read_bytes":
            return int(value)
    return None


def peak_bytes() -> int | None:
    """The most memory that this process held (RSS); not that of its parent, which getrusage takes in."""
    for line in read_text(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _resident_pages(path: Path) -> tuple[int, int] | None:
    """(pages in memory, pages) of one file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        view = np.frombuffer(content, np.uint8)
        pages_P = np.zeros(-(-len(view) // mmap.PAGESIZE), np.uint8)
        failed = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(len(view)), ctypes.c_void_p(pages_P.ctypes.data)
        )
        del view  # the map cannot be closed while it is seen
        return None if failed else (int((pages_P & 1).sum()), len(pages_P))
