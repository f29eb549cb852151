"""A crew: processes of this machine that run one call over many items, and live no longer than that takes.

They are spawned, not forked from the nursery, since what is mapped over needs no torch. Each has one item in hand at a
time and a pipe of its own, so that the death of one is told at once and by its item.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import signal
from collections.abc import Iterator, Mapping

from pileus.engines.local.hand import serve
from pileus.engines.tasks import died

_END_DEADLINE_S = 10.0
_CONTEXT = multiprocessing.get_context("spawn")


class Crew:
    """The tasks of one map. Processes start as items come."""

    def __init__(self, call: bytes, workers: int, keep: bool) -> None:
        self._call = call
        self._keep = keep
        self._processes: list[_Process] = []

    def begin(self, number: int, content: bytes) -> None:
        idle = [process for process in self._processes if process.item is None]
        process = idle.pop() if idle else _Process(len(self._processes), self._call, self._keep)
        if process not in self._processes:
            self._processes.append(process)
        process.begin(number, content)

    def ended(self, timeout_s: float) -> Mapping[int, bytes]:
        busy = {process.link: process for process in self._processes if process.item is not None}
        ready = multiprocessing.connection.wait(list(busy), timeout_s)
        return dict(busy[link].outcome() for link in busy if link in ready)

    def told(self, number: int) -> str:
        return next(str(process) for process in self._processes if process.item == number)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait_gone()
        self._processes.clear()


class _Process:
    def __init__(self, number: int, call: bytes, keep: bool) -> None:
        self.link, theirs = _CONTEXT.Pipe()
        self.item: int | None = None
        """In hand, by its number."""
        self._number = number
        words = (theirs, call, keep)
        self._process = _CONTEXT.Process(target=serve, args=words, name=f"worker-{number}", daemon=True)
        try:
            with theirs, _deaf_children():
                self._process.start()
        except BaseException:
            self.link.close()
            raise

    def __str__(self) -> str:
        return f"worker {self._number} (process {self._process.pid}) at item {self.item}"

    def begin(self, number: int, content: bytes) -> None:
        self.item = number
        with contextlib.suppress(OSError):  # it is gone, which `outcome` will tell
            self.link.send_bytes(content)

    def outcome(self) -> tuple[int, bytes]:
        """The number of the item, and what became of it."""
        assert self.item is not None
        try:
            content = self.link.recv_bytes()
        except (EOFError, OSError):
            content = died(str(self), self._ending())
        number, self.item = self.item, None
        return number, content

    def kill(self) -> None:
        self._process.kill()

    def wait_gone(self) -> None:
        """After `kill`."""
        self._process.join(_END_DEADLINE_S)
        assert self._process.exitcode is not None, f"process {self._process.pid} did not end by SIGKILL"
        self._process.close()
        self.link.close()

    def _ending(self) -> str:
        self._process.join(_END_DEADLINE_S)
        code = self._process.exitcode
        return f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended by {code}"


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all: who maps decides alone."""
    multiprocessing.resource_tracker.ensure_running()  # its start, within, would let Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
