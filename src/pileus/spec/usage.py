"""What workers and their hosts use over time: processor, memory, disk and network.

Counters count from the beginning of the process or of the host, so that whatever looks are left out between two, what
was used between them is known exactly.
"""

from __future__ import annotations

from pileus.spec.values import Spec


class Look(Spec, array_like=True, frozen=True, kw_only=True):
    """One look of a worker at itself and at its host. None: the system does not tell."""

    at_s: float
    """Of the host's clock, since 1970."""
    cpu_s: float
    """Processor seconds of the worker's process."""
    memory_bytes: int
    """Resident in that process; pages that processes share count in each."""
    read_bytes: int | None
    """By that process from disks; what the page cache held does not count."""
    written_bytes: int | None
    host_cpu_s: float
    """Busy seconds of all cores of the host, whoever used them."""
    host_memory_bytes: int
    """Not available to anyone on the host."""
    host_received_bytes: int | None
    """By all its interfaces, the loopback among them, by which the processes of one machine speak."""
    host_sent_bytes: int | None
    host_read_bytes: int | None
    """From its disks, whoever asked."""
    host_written_bytes: int | None


class Watched(Spec, frozen=True, kw_only=True):
    """One worker process of one gang or map, in the order of time."""

    worker: str
    """`rank 0`, or by its process where workers have no ranks."""
    host: str
    cores: int
    """Of the host."""
    attempt: int = 1
    """Which gang of the run."""
    looks: tuple[Look, ...]


class Use(Spec, frozen=True, kw_only=True):
    """Of a run or a write, as far as its workers told."""

    watched: tuple[Watched, ...] = ()
