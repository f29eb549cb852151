"""A crew: processes of this machine that run one call over many items, and live no longer than that takes.

They are spawned, not forked from the nursery, since what is mapped over needs no torch. Each has one item in hand at a
time and a pipe of its own, so that the death of one is told at once and by its item.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import pickle
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic

from pileus.engines.local.hand import serve
from pileus.engines.ports import Item, Result, check_workers
from pileus.errors import WorkFailed

_AHEAD = 2
"""Items begun and not yet yielded, for each process."""
_END_DEADLINE_S = 10.0
_CONTEXT = multiprocessing.get_context("spawn")


def run(
    call: Callable[[Item], Result], items: Iterable[Item], workers: int, deadline_s: float
) -> Generator[Result, None, None]:
    """As `Engine.map` has it."""
    check_workers(workers)
    crew = _Crew(call, items, workers, deadline_s)
    try:
        yield from crew.results()
    finally:
        crew.end()


class _Crew(Generic[Item, Result]):
    """Processes start as items come."""

    def __init__(self, call: Callable[[Item], Result], items: Iterable[Item], workers: int, deadline_s: float) -> None:
        self._call = call
        self._items = enumerate(items)
        self._workers = workers
        self._deadline_s = deadline_s
        self._processes: list[_Process] = []
        self._outcomes: dict[int, tuple[bool, Any]] = {}
        """Not yet yielded: by number of the item, whether it is a result, and what was returned or raised."""
        self._has_more = True

    def results(self) -> Iterator[Result]:
        turn = 0
        while True:
            self._feed(turn)
            if turn in self._outcomes:
                is_result, value = self._outcomes.pop(turn)
                if not is_result:
                    raise value
                turn += 1
                yield value
            elif any(process.is_busy for process in self._processes):
                self._hear()
            else:
                return

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait_gone()
        self._processes.clear()

    def _feed(self, turn: int) -> None:
        """Have every process busy, as far as there are items and the next result to yield is not far behind."""
        idle = [process for process in self._processes if not process.is_busy]
        busy = len(self._processes) - len(idle)
        while self._has_more and busy < self._workers and busy + len(self._outcomes) < _AHEAD * self._workers:
            number, item = next(self._items, (None, None))
            if number is None:
                self._has_more = False
                return
            process = idle.pop() if idle else self._started()
            process.begin(number, item, time.monotonic() + self._deadline_s)
            busy += 1

    def _started(self) -> _Process:
        process = _Process(len(self._processes), self._call)
        self._processes.append(process)
        return process

    def _hear(self) -> None:
        """Wait for an outcome, at least."""
        busy = [process for process in self._processes if process.is_busy]
        slowest = min(busy, key=lambda process: process.until)
        links = [process.link for process in busy]
        ready = multiprocessing.connection.wait(links, max(0.0, slowest.until - time.monotonic()))
        if not ready:
            raise WorkFailed(f"{slowest} did not end within {self._deadline_s:g} s; run it again in smaller items.")
        for process in (process for process in busy if process.link in ready):
            number, outcome = process.outcome()
            self._outcomes[number] = outcome
            self._has_more = self._has_more and outcome[0]


class _Process:
    def __init__(self, number: int, call: Callable[[Any], Any]) -> None:
        self.link, theirs = _CONTEXT.Pipe()
        self.until = 0.0
        self._number = number
        self._item: int | None = None
        self._process = _CONTEXT.Process(target=serve, args=(theirs, call), name=f"worker-{number}", daemon=True)
        try:
            with theirs, _deaf_children():
                self._process.start()
        except BaseException:
            self.link.close()
            raise

    def __str__(self) -> str:
        return f"worker {self._number} (process {self._process.pid}) at item {self._item}"

    @property
    def is_busy(self) -> bool:
        return self._item is not None

    def begin(self, number: int, item: object, until: float) -> None:
        self._item, self.until = number, until
        content = pickle.dumps(item)
        with contextlib.suppress(OSError):  # it is gone, which `outcome` will tell
            self.link.send_bytes(content)

    def outcome(self) -> tuple[int, tuple[bool, Any]]:
        """The number of the item, and what became of it. WorkFailed where the process is gone."""
        assert self._item is not None
        try:
            content = self.link.recv_bytes()
        except (EOFError, OSError):
            raise WorkFailed(
                f"{self} {self._ending()}; run it again, with fewer workers where memory is short."
            ) from None
        number, self._item = self._item, None
        return number, pickle.loads(content)  # from a process of our own

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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
