"""The ranks of a gang that live on this host."""

from __future__ import annotations

import collections
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pileus.engines.ports import GangEvent
from pileus.engines.processes.channel import Posting
from pileus.engines.processes.memory import Memory
from pileus.engines.processes.workers import Nursery, WorkerProcess
from pileus.runs.life.events import Lost
from pileus.spec.job import Failed, Finished, Job, Order, Report, Stopped


class Home(NamedTuple):
    """Where ranks live that peers on other hosts call."""

    host: str
    """By what name they call."""
    ears: Mapping[int, socket.socket]
    """Listening sockets by rank; a worker gets a copy of its own."""
    are_apart: bool = False
    """Other ranks of this machine may be hosted by other processes."""


class Gang:
    """A `Launch` of these ranks. `cores` are those of each worker; `home`: None where all its peers are here."""

    def __init__(
        self, job: Job, ranks: Iterable[int], cores: int, nursery: Nursery, memory: Memory, home: Home | None = None
    ) -> None:
        home = home or Home("127.0.0.1", {})
        self._events: collections.deque[GangEvent] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._processes: list[WorkerProcess] = []
        try:
            for local_rank, rank in enumerate(ranks):
                posting = Posting(
                    job=job,
                    rank=rank,
                    local_rank=rank if home.are_apart else local_rank,
                    cores=cores,
                    controller_pid=os.getpid(),
                    host=home.host,
                )
                process = WorkerProcess(nursery, posting, memory, home.ears.get(rank))
                self._processes.append(process)
                self._selector.register(process.channel, selectors.EVENT_READ, process)
        except BaseException:
            self.end()
            raise

    def fileno(self) -> int:
        """Ready when there is something for `next`."""
        return self._selector.fileno()

    def next(self, timeout_s: float) -> GangEvent | None:
        until = time.monotonic() + timeout_s
        while not self._events:
            left = max(0.0, until - time.monotonic())
            for key, _ in self._selector.select(left):
                self._hear(key.data)
            if not left:
                break
        return self._events.popleft() if self._events else None

    def send(self, order: Order) -> None:
        for process in self._processes:
            try:
                process.channel.send(order)
            except OSError:
                continue  # it is gone, which `next` will tell

    def notify(self) -> None:
        """Tell the workers that this host is about to be taken away, as SIGTERM does; safe in a signal's handler."""
        for process in self._processes:
            process.signal(signal.SIGTERM)

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
