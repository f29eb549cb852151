"""Which process drives a run, told apart from a later one with the same number."""

from __future__ import annotations

import os
from pathlib import Path

from pileus.spec.values import Spec

_STARTED_FIELD = 19
"""Of /proc/PID/stat behind the command's closing parenthesis, counted from 0: see proc(5), field 22."""


class Driver(Spec, frozen=True, kw_only=True):
    pid: int
    started: str
    """Start time of the process in ticks since boot."""
    boot: str
    """Identifies the machine's boot; another machine or boot cannot be looked into."""

    @property
    def is_alive(self) -> bool:
        """Surely alive: False also where that cannot be known from here."""
        return self.boot == _boot() and self.started == _started(self.pid) != ""


def this_process() -> Driver:
    return Driver(pid=os.getpid(), started=_started(os.getpid()), boot=_boot())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """'' where there is no such process, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[_STARTED_FIELD]
