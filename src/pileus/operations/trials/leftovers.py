"""What a trial leaves behind: processes, threads, open descriptors (and so ports), temporary files.

Processes are told by a word in their environment, which they inherit, so that orphans are seen, too. On systems without
/proc only threads and files are looked at.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_WORD = "PILEUS_TRIAL"
_GRACE_S = 10.0
_LOOK_S = 0.05
_PROC = Path("/proc")


class Present(NamedTuple):
    processes: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: Counter[str] | None
    """What they are open on; None: whatever it is."""
    files: frozenset[str]


@contextlib.contextmanager
def apart_from_others() -> Iterator[Path]:
    """Within the block new processes carry a word of our own, and temporary files lie in a folder of our own.

    Yields that folder, which is gone afterwards.
    """
    before = {name: os.environ.get(name) for name in (_WORD, "TMPDIR")}
    folder = Path(tempfile.mkdtemp(prefix="pileus-trials-"))
    os.environ |= {_WORD: secrets.token_hex(8), "TMPDIR": str(folder)}
    was, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = was
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def present() -> Present:
    return Present(
        frozenset(_processes()),
        frozenset(thread for thread in threading.enumerate() if not thread.daemon),
        Counter(_descriptors()),
        frozenset(entry.name for entry in Path(tempfile.gettempdir()).iterdir()),
    )


def left_behind(before: Present, *, and_descriptors: bool = True) -> list[str]:
    """A line for each thing that is there now, was not before, and does not end by itself soon.

    `and_descriptors`: False where a library was used that keeps some of its own open, as Ray its log, to the next use.
    """
    if not and_descriptors:
        before = before._replace(descriptors=None)
    gc.collect()  # what errors of threads hold is freed by it alone
    until = time.monotonic() + _GRACE_S
    while (left := _more_than(before, present())) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return left


def _more_than(before: Present, now: Present) -> list[str]:
    opened = now.descriptors - before.descriptors if before.descriptors is not None and now.descriptors else Counter()
    return [
        *(f"process {pid} is left: {_command(pid)}" for pid in sorted(now.processes - before.processes)),
        *(f"thread {thread.name} is left" for thread in now.threads - before.threads),
        *(f"{target} is left open" for target in opened.elements()),
        *(f"temporary file {name} is left" for name in sorted(now.files - before.files)),
    ]


def _processes() -> Iterator[int]:
    """Ours, as long as they live; this one does not count."""
    marker = f"{_WORD}={os.environ[_WORD]}".encode()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _descriptors() -> Iterator[str]:
    """Open files and sockets of this process."""
    folder = _PROC / "self/fd"
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # that by which the folder is read
            yield str(entry.readlink()).partition(":[")[0]


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"
