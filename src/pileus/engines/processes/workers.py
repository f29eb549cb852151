"""The controller's side of the nursery and of each worker process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from pileus.engines.processes.channel import Channel, Posting
from pileus.engines.processes.memory import Memory
from pileus.errors import WorkFailed

_IMPORT_DEADLINE_S = 120.0
_EXIT_DEADLINE_S = 10.0
_LAST_LINES = 3
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_MEMORY_AGAIN = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Of glibc: what a step frees is kept for the next, and not given back to be faulted in again; `mnist_cnn` gains a
tenth at microbatches of 32 and near half at 64."""
_MESSAGE_BYTES = 64


class Nursery:
    """Started at the first request; one thread uses it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link = ours
        self._ended: dict[int, int] = {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pileus.engines.processes.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
                env={**os.environ, **_ONE_THREAD, **_MEMORY_AGAIN},
            )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, channel: int, stderr: int) -> int:
        """A new worker process that has these descriptors; its process id."""
        try:
            socket.send_fds(self._link, [b"fork"], [channel, stderr])
        except OSError as error:
            raise WorkFailed(f"worker processes cannot be started: {error.strerror}.") from error
        until = time.monotonic() + _IMPORT_DEADLINE_S
        while True:
            word, *numbers = self._message(until)
            if word == "started":
                return int(numbers[0])

    def status(self, pid: int) -> int | None:
        """Exit code of a worker that is gone, negative for a signal; None where it cannot be known any more."""
        until = time.monotonic() + _EXIT_DEADLINE_S
        with contextlib.suppress(WorkFailed):
            while pid not in self._ended:
                self._message(until)
        return self._ended.pop(pid, None)

    def close(self) -> None:
        self._link.close()
        try:
            self._process.wait(_EXIT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_EXIT_DEADLINE_S)

    def _message(self, until: float) -> list[str]:
        ready, _, _ = select.select([self._link], [], [], max(0.0, until - time.monotonic()))
        try:
            words = self._link.recv(_MESSAGE_BYTES).decode().split() if ready else []
        except OSError:
            words = []
        if not words:
            why = "it ended" if ready else "it does not answer"
            raise WorkFailed(f"worker processes cannot be started: the process that forks them is of no use, {why}.")
        if words[0] == "ended":
            self._ended[int(words[1])] = int(words[2])
        return words


class WorkerProcess:
    """One worker with its channel and what it wrote to stderr."""

    def __init__(self, nursery: Nursery, posting: Posting, memory: Memory, ear: socket.socket | None = None) -> None:
        """`ear`: a listening socket for its peers, in place of one of its own."""
        ours, theirs = socket.socketpair()
        self.rank = posting.rank
        self.said_last_word = False
        self.channel = Channel(ours)
        self._nursery = nursery
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            with theirs:
                self._pid = nursery.fork(theirs.fileno(), self._stderr.fileno())
        except BaseException:
            self._close()
            raise
        self._handle = self._opened()
        with contextlib.suppress(OSError):  # it is gone already, which its channel will tell
            self.channel.send_with(posting, [*memory.descriptors, *([ear.fileno()] if ear else [])])

    def ending(self) -> str:
        """Why it ended, in words."""
        code = self._nursery.status(self._pid)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        if code is None:
            how = "ended, nobody knows how"
        else:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return " | ".join([how, *lines])

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def wait_gone(self) -> None:
        """After `kill`."""
        if self._handle is not None:
            gone, _, _ = select.select([self._handle], [], [], _EXIT_DEADLINE_S)
            assert gone, f"process {self._pid} did not end by SIGKILL"
            os.close(self._handle)
        self._close()

    def _opened(self) -> int | None:
        """A descriptor that means this process and no later one of the same number; None where it is gone."""
        try:
            return os.pidfd_open(self._pid)
        except ProcessLookupError:
            return None

    def _close(self) -> None:
        self.channel.close()
        self._stderr.close()
