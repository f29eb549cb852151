"""The local engine: one process a worker, told and heard over a socket pair.

A worker's peers and its controller know of its death at once, because the system closes its sockets. Workers are
outside the controller's process group, so that Ctrl-C reaches the controller alone, which then stops them in order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable

from pileus.engines.local.crew import Crew
from pileus.engines.ports import ITEM_DEADLINE_S, OF_PROCESSES, Capabilities, Item, Result
from pileus.engines.processes.gang import Gang
from pileus.engines.processes.memory import Memory
from pileus.engines.processes.workers import Nursery
from pileus.engines.tasks import map_by
from pileus.spec.job import Job


class LocalEngine:
    """`cores` are shared among the workers; None: all that this process may run on."""

    name = "local"
    dashboard = ""
    capabilities = Capabilities(strategies=OF_PROCESSES, processes=True)

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        self._nursery: Nursery | None = None
        self._memory: tuple[str, Memory] | None = None
        """Of the latest drive, by its word."""

    def launch(self, job: Job) -> Gang:
        if self._nursery is not None and not self._nursery.is_alive:
            self._nursery.close()
            self._nursery = None
        self._nursery = self._nursery or Nursery()
        cores = max(1, self._cores // job.spec.workers)
        return Gang(job, range(job.spec.gang_size), cores, self._nursery, self._memory_of(job.drive))

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        """By a process each worker. The calling script must guard its start by `__name__`."""
        return map_by(Crew, call, items, workers=workers, deadline_s=deadline_s, keep=keep)

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
        if self._memory is not None:
            self._memory[1].close()
            self._memory = None

    def _memory_of(self, drive: str) -> Memory:
        if self._memory is not None and (not drive or self._memory[0] != drive):
            self._memory[1].close()
            self._memory = None
        if self._memory is None:
            self._memory = (drive, Memory.new())
        return self._memory[1]
