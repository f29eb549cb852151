"""The ranks of a gang that live on this host."""

from __future__ import annotations

import collections
import os
import selectors
import time
from collections.abc import Iterable

from pileus.engines.ports import GangEvent
from pileus.engines.processes.channel import Posting
from pileus.engines.processes.memory import Memory
from pileus.engines.processes.workers import Nursery, WorkerProcess
from pileus.runs.life.events import Lost
from pileus.spec.job import Failed, Finished, Job, Order, Report, Stopped


class Gang:
    """A `Launch` of these ranks. `cores` are those of each worker."""

    def __init__(self, job: Job, ranks: Iterable[int], cores: int, nursery: Nursery, memory: Memory) -> None:
        self._events: collections.deque[GangEvent] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._processes: list[WorkerProcess] = []
        try:
            for rank in ranks:
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
