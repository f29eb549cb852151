"""What a worker looks at: its own process, and the host that it is on.

A look takes 0.4 ms, so one a second takes 0.04 % of a core. Workers start no processes of their own, so the process is
all of the worker. Where psutil is not installed, or the system does not tell, nobody looks, and nothing fails.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import Generic, NamedTuple

from pileus.engines.ports import ITEM_DEADLINE_S, Engine, Item, Result
from pileus.engines.wrapped import WrappedEngine
from pileus.spec.usage import Look, Watched

_OF_A_CALL_S = 0.5
_MOST_OF_A_CALL = 200
"""Looks; with more every second one goes, and they come half as often."""


class Meter:
    """Of this process. Safe for threads. ModuleNotFoundError without psutil."""

    def __init__(self) -> None:
        import psutil  # noqa: PLC0415 - of the extra train; who writes records may go without

        self._psutil = psutil
        self._process = psutil.Process()
        self._is_broken = False
        self.host = socket.gethostname()
        self.cores = os.cpu_count() or 1

    def look(self) -> Look | None:
        """None where it cannot be; then it is not tried again."""
        if self._is_broken:
            return None
        try:
            return self._look()
        except Exception:  # whatever it is, the worker's own work goes on
            self._is_broken = True
            return None

    def watched(self, worker: str, looks: Sequence[Look], attempt: int = 1) -> Watched:
        return Watched(worker=worker, host=self.host, cores=self.cores, attempt=attempt, looks=tuple(looks))

    def _look(self) -> Look:
        with self._process.oneshot():
            times, memory = self._process.cpu_times(), self._process.memory_info()
            own = self._own_disk()
        of_all, host = self._psutil.cpu_times(), self._psutil.virtual_memory()
        network, disks = self._psutil.net_io_counters(), self._psutil.disk_io_counters()
        busy_s = of_all.user + of_all.nice + of_all.system + of_all.irq + of_all.softirq  # guests count as users
        return Look(
            at_s=round(time.time(), 3),
            cpu_s=round(times.user + times.system, 3),
            memory_bytes=memory.rss,
            read_bytes=own[0],
            written_bytes=own[1],
            host_cpu_s=round(busy_s, 3),
            host_memory_bytes=host.total - host.available,
            host_received_bytes=network.bytes_recv if network else None,
            host_sent_bytes=network.bytes_sent if network else None,
            host_read_bytes=disks.read_bytes if disks else None,
            host_written_bytes=disks.write_bytes if disks else None,
        )

    def _own_disk(self) -> tuple[int | None, int | None]:
        """A container may forbid a process to read its own counters."""
        try:
            counted = self._process.io_counters()
        except (self._psutil.Error, OSError, NotImplementedError):
            return None, None
        return counted.read_bytes, counted.write_bytes


def open_meter() -> Meter | None:
    """None where this process cannot be looked at."""
    try:
        return Meter()
    except Exception:  # psutil is not there, or the system tells it nothing
        return None


class Measured(NamedTuple, Generic[Result]):
    """What a call returned, and who was watched meanwhile."""

    result: Result
    watched: Watched | None


class Watch:
    """Looks at this process while its block runs, and at both its ends."""

    def __init__(self, every_s: float = _OF_A_CALL_S) -> None:
        self.looks: list[Look] = []
        self.meter = open_meter()
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._note()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._note()

    def watched(self) -> Watched | None:
        """Named by its host and process; None where nothing could be looked at."""
        if self.meter is None or not self.looks:
            return None
        return self.meter.watched(f"{self.meter.host} process {os.getpid()}", self.looks)

    def _run(self) -> None:
        while self.meter is not None and not self._over.wait(self._every_s):
            self._note()
            if len(self.looks) > _MOST_OF_A_CALL:
                self.looks = self.looks[::2]
                self._every_s *= 2

    def _note(self) -> None:
        look = self.meter.look() if self.meter is not None else None
        if look is not None:
            self.looks.append(look)


def measured(call: Callable[[Item], Result], item: Item) -> Measured[Result]:
    """In a worker: `call` of the item."""
    with Watch() as watch:
        result = call(item)
    return Measured(result, watch.watched())


class MeasuredEngine(WrappedEngine):
    """An engine whose workers are watched while they are at an item of a map; `note` is told with each result."""

    def __init__(self, engine: Engine, note: Callable[[Watched], None]) -> None:
        super().__init__(engine)
        self._note = note

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        under_watch = partial(measured, call)
        with closing(
            self._engine.map(under_watch, items, workers=workers, deadline_s=deadline_s, keep=keep)
        ) as results:
            for done in results:
                if done.watched is not None:
                    self._note(done.watched)
                yield done.result
