"""Who drives a run: a process, told apart from a later one with the same number, and which of its drives."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pileus.spec.values import Spec

_STARTED_FIELD = 19
"""Of /proc/PID/stat behind the command's closing parenthesis, counted from 0: see proc(5), field 22."""

_under_way: set[str] = set()
"""Words of this process's drives: one that ended without deleting its document bars no later one."""


class Driver(Spec, frozen=True, kw_only=True):
    pid: int
    started: str
    """Start time of the process in ticks since boot."""
    boot: str
    """Identifies the machine's boot; another machine or boot cannot be looked into."""
    word: str = ""
    """Random: tells the drives of one process apart."""

    @property
    def is_alive(self) -> bool:
        """Surely alive: False also where that cannot be known from here."""
        if self.boot != _boot() or not self.started or self.started != _started(self.pid):
            return False
        return self.pid != os.getpid() or self.word in _under_way

    @property
    def is_dead(self) -> bool:
        """Surely dead: False also where that cannot be known from here."""
        return self.boot == _boot() and not self.is_alive


def this_process() -> Driver:
    """For one drive: no two are equal."""
    pid = os.getpid()
    return Driver(pid=pid, started=_started(pid), boot=_boot(), word=secrets.token_hex(8))


def begin_drive(driver: Driver) -> None:
    """Of this process."""
    _under_way.add(driver.word)


def end_drive(driver: Driver) -> None:
    _under_way.discard(driver.word)


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
