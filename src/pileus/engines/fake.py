"""The fake that ships: workers are threads of this process, killed by an exception at their next step."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, NoReturn

from pileus.engines.ports import ITEM_DEADLINE_S, Capabilities, GangEvent, Item, Result, check_workers
from pileus.errors import UsageError
from pileus.runs.life.events import Lost
from pileus.spec.job import Job, Joined, Order, Report, Stop
from pileus.training.exchange.ports import Exchange
from pileus.training.exchange.threads import Meeting
from pileus.training.worker import work

_END_DEADLINE_S = 60.0


class _Killed(BaseException):
    """Passes every `except Exception`, as SIGKILL passes every handler."""


class FakeEngine:
    name = "fake"
    capabilities = Capabilities(strategies=frozenset({"single", "all_reduce"}), processes=False)

    def launch(self, job: Job) -> FakeLaunch:
        return FakeLaunch(job)

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
    ) -> Generator[Result, None, None]:
        """One item after the other, in this thread, which nothing can interrupt at its deadline."""
        check_workers(workers)
        call = _sent(call)
        for item in items:
            yield _sent(call(_sent(item)))

    def close(self) -> None:
        return None


def _sent(value: Any) -> Any:
    """As it would arrive in another process: what does not pickle fails here, too."""
    return pickle.loads(pickle.dumps(value))


class FakeLaunch:
    def __init__(self, job: Job) -> None:
        self._job = job
        self.events: queue.Queue[GangEvent] = queue.Queue(maxsize=10_000)
        self.meeting = Meeting(job.spec.workers, job.spec.engine.silence_deadline_s)
        self.whole = threading.Event()
        self.stopped = threading.Event()
        self.ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(rank,), name=f"worker-{rank}") for rank in range(job.spec.workers)
        ]
        for thread in self._threads:
            thread.start()

    def next(self, timeout_s: float) -> GangEvent | None:
        try:
            return self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def send(self, order: Order) -> None:
        (self.stopped if isinstance(order, Stop) else self.whole).set()

    def end(self) -> None:
        self.ended.set()
        self.whole.set()
        for rank in range(self.meeting.size):
            self.meeting.end(rank).close()
        for thread in self._threads:
            thread.join(_END_DEADLINE_S)
            assert not thread.is_alive(), f"{thread.name} did not end"

    def _run(self, rank: int) -> None:
        try:
            work(self._job, FakeSeat(self, rank))
        except _Killed:
            self.meeting.end(rank).close()
            self.events.put(Lost(rank=rank, cause="killed"))


class FakeSeat:
    cores = 1

    def __init__(self, launch: FakeLaunch, rank: int) -> None:
        self._launch = launch
        self.rank = rank

    @property
    def stop_asked(self) -> bool:
        return self._launch.stopped.is_set()

    def join(self, num_workers: int, session: str, deadline_s: float) -> Exchange:
        self.report(Joined(rank=self.rank, address=""))
        self._launch.whole.wait(deadline_s)
        self.at(0, 0)
        return self._launch.meeting.end(self.rank)

    def report(self, report: Report) -> None:
        self._launch.events.put(report)

    def at(self, epoch: int, step: int) -> None:
        if self._launch.ended.is_set():
            raise _Killed

    def die(self, whom: str) -> NoReturn:
        if whom != "worker":
            raise UsageError("the fake engine has no controller process to kill; use an engine with processes.")
        raise _Killed
