"""The local engine: one process a worker, told and heard over a socket pair.

A worker's peers and its controller know of its death at once, because the system closes its sockets. Workers are
outside the controller's process group, so that Ctrl-C reaches the controller alone, which then stops them in order.
"""

from __future__ import annotations

import collections
import os
import selectors
import time
from collections.abc import Callable, Generator, Iterable

from pileus.engines.local import crew
from pileus.engines.local.channel import Posting
from pileus.engines.local.memory import Memory
from pileus.engines.local.processes import Nursery, WorkerProcess
from pileus.engines.ports import ITEM_DEADLINE_S, Capabilities, GangEvent, Item, Result
from pileus.runs.life.events import Lost
from pileus.spec.job import Failed, Finished, Job, Order, Report, Stopped


class LocalEngine:
    """`cores` are shared among the workers; None: all that this process may run on."""

    name = "local"
    capabilities = Capabilities(strategies=frozenset({"single", "all_reduce"}), processes=True)

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        self._nursery: Nursery | None = None
        self._memory: tuple[str, Memory] | None = None
        """Of the latest drive, by its word."""

    def launch(self, job: Job) -> LocalLaunch:
        if self._nursery is not None and not self._nursery.is_alive:
            self._nursery.close()
            self._nursery = None
        self._nursery = self._nursery or Nursery()
        return LocalLaunch(job, max(1, self._cores // job.spec.workers), self._nursery, self._memory_of(job.drive))

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
    ) -> Generator[Result, None, None]:
        """By a process each worker. The calling script must guard its start by `__name__`."""
        return crew.run(call, items, workers, deadline_s)

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


class LocalLaunch:
    def __init__(self, job: Job, cores: int, nursery: Nursery, memory: Memory) -> None:
        self._events: collections.deque[GangEvent] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._processes: list[WorkerProcess] = []
        try:
            for rank in range(job.spec.gang_size):
                posting = Posting(job=job, rank=rank, cores=cores, controller_pid=os.getpid())
                process = WorkerProcess(nursery, posting, memory)
                self._processes.append(process)
                self._selector.register(process.channel, selectors.EVENT_READ, process)
        except BaseException:
            self.end()
            raise

    def next(self, timeout_s: float) -> GangEvent | None:
        until = time.monotonic() + timeout_s
        while not self._events:
            left = until - time.monotonic()
            if left <= 0:
                return None
            for key, _ in self._selector.select(left):
                self._hear(key.data)
        return self._events.popleft()

    def send(self, order: Order) -> None:
        for process in self._processes:
            try:
                process.channel.send(order)
            except OSError:
                continue  # it is gone, which `next` will tell

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait_gone()
        self._processes.clear()
        self._selector.close()

    def _hear(self, process: WorkerProcess) -> None:
        reports: list[Report] | None = process.channel.receive(Report)
        if reports is not None:
            self._events.extend(reports)
            process.said_last_word |= any(isinstance(report, (Finished, Stopped, Failed)) for report in reports)
            return
        self._selector.unregister(process.channel)
        if not process.said_last_word:
            self._events.append(Lost(rank=process.rank, cause=process.ending()))
