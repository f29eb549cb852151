"""The local engine: one process a worker, told and heard over a socket pair.

A worker's peers and its controller know of its death at once, because the system closes its sockets. Workers leave the
controller's process group, so that Ctrl-C reaches the controller alone, which then stops them in order.
"""

from __future__ import annotations

import collections
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from pileus.engines.local.channel import Channel, Posting
from pileus.engines.ports import Capabilities, GangEvent
from pileus.runs.life.events import Lost
from pileus.spec.job import Failed, Finished, Job, Order, Report, Stopped

_EXIT_DEADLINE_S = 10.0
_LAST_LINES = 3


class LocalEngine:
    """`cores` are shared among the workers; None: all that this process may run on."""

    name = "local"
    capabilities = Capabilities(strategies=frozenset({"single", "all_reduce"}), processes=True)

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))

    def launch(self, job: Job) -> LocalLaunch:
        return LocalLaunch(job, max(1, self._cores // job.spec.workers))


class _Process:
    """One worker process with its channel and what it wrote to stderr."""

    def __init__(self, posting: Posting) -> None:
        ours, theirs = socket.socketpair()
        self.rank = posting.rank
        self.channel = Channel(ours)
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pileus.engines.local.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self.stderr,
                stderr=self.stderr,
                process_group=0,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )
        self.channel.send(posting)
        self.said_last_word = False

    def ending(self) -> str:
        """Why it ended, in words."""
        code = self.process.wait(_EXIT_DEADLINE_S)
        self.stderr.seek(0)
        lines = self.stderr.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return " | ".join([how, *lines])

    def close(self) -> None:
        self.channel.close()
        self.stderr.close()


class LocalLaunch:
    def __init__(self, job: Job, cores: int) -> None:
        self._events: collections.deque[GangEvent] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._processes: list[_Process] = []
        try:
            for rank in range(job.spec.workers):
                process = _Process(Posting(job=job, rank=rank, cores=cores))
                self._processes.append(process)
                self._selector.register(process.channel, selectors.EVENT_READ, process)
        except BaseException:
            self.end()
            raise

    def next(self, timeout_s: float) -> GangEvent | None:
        until = time.monotonic() + timeout_s
        while not self._events:
            left = until - time.monotonic()
            if left <= 0 or not self._selector.get_map():
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
            process.process.kill()
        for process in self._processes:
            process.process.wait(_EXIT_DEADLINE_S)
            process.close()
        self._processes.clear()
        self._selector.close()

    def _hear(self, process: _Process) -> None:
        reports: list[Report] | None = process.channel.receive(Report)
        if reports is not None:
            self._events.extend(reports)
            process.said_last_word |= any(isinstance(report, (Finished, Stopped, Failed)) for report in reports)
            return
        self._selector.unregister(process.channel)
        if not process.said_last_word:
            self._events.append(Lost(rank=process.rank, cause=process.ending()))
