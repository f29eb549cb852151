"""What a machine gives to this process: cores, memory, instructions.

Cores and memory are counted as the process may use them, by affinity and the control group's limits, since what a
container is told at first sight is its host's.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from pileus.spec.values import Spec

_UNLIMITED_BYTES = 1 << 60
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them, on x86 and on ARM."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Options of mallopt(3)."""
_NEVER_BYTES = 1 << 30
"""Larger than what one tensor of a step takes."""


class Cores(Spec, frozen=True, kw_only=True):
    """How many processor cores there are, and how many of them this process may keep busy."""

    machine: int
    affinity: int
    """Cores that the scheduler may put this process on."""
    quota: float | None
    """Core-seconds a second by the control group; None without a limit."""

    @property
    def usable(self) -> int:
        """Worker processes or threads that can run at the same time; at least 1."""
        return max(1, self.affinity if self.quota is None else min(self.affinity, int(self.quota)))


def count_cores(root: Path = Path("/")) -> Cores:
    """Cores of the machine, of the affinity mask and of the control group's quota."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine=machine, affinity=affinity, quota=_read_quota(root))


def count_memory(root: Path = Path("/")) -> int | None:
    """Bytes: the machine's, or the control group's limit where lower; None where neither is told."""
    limits = []
    for line in read_text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    for folder in _group_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read_text(folder / name).strip()
            if text.isdigit() and int(text) < _UNLIMITED_BYTES:
                limits.append(int(text))
    return min(limits, default=None)


def has_bf16(root: Path = Path("/")) -> bool | None:
    """Whether the processor multiplies bfloat16 by instructions of its own; None where it does not tell."""
    for line in read_text(root / "proc/cpuinfo").splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not _BF16.isdisjoint(words.split())
    return None


def keep_freed_memory() -> bool:
    """Have the C library keep what this process frees, for its next allocations; False where it cannot be told to.

    glibc gives memory back at the end of a step that the next one asks for again, and each of its pages is a fault and
    zeroed anew: of small networks that is up to half of the time. The process keeps the most that it ever needed. What
    each thread has of its own is bounded and given back whatever is said here, so all threads share one arena: call
    this before any is started.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is None:
        return False
    return all(
        change(*pair) for pair in ((_TRIM_THRESHOLD, _NEVER_BYTES), (_MMAP_THRESHOLD, _NEVER_BYTES), (_ARENA_MAX, 1))
    )


def _read_quota(root: Path) -> float | None:
    """The tightest quota from this process's control group up to the root, in cores."""
    quotas = []
    for folder in _group_folders(root, "cpu"):
        words = read_text(folder / "cpu.max").split()
        if not words:
            words = [read_text(folder / "cpu.cfs_quota_us").strip(), read_text(folder / "cpu.cfs_period_us").strip()]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders that can limit this process, own group first, by versions 2 and 1 of control groups.

    In a container the group's path may name a place outside of the mount; then only the mount's root is left.
    """
    base = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mount = base / controller if names else base
        folder = mount / path.strip().lstrip("/")
        while folder != mount:
            yield folder
            folder = folder.parent
        yield mount


def read_text(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
