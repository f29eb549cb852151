"""The fake that ships: workers are threads of this process, killed by an exception at their next step."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from signal import Signals
from typing import Any

from pileus.engines.ports import ITEM_DEADLINE_S, OF_ANY_WORKERS, Capabilities, GangEvent, Item, Result, check_workers
from pileus.errors import PeerLost, UsageError
from pileus.runs.life.events import Lost
from pileus.spec.job import Job, Joined, Order, Report, Stop
from pileus.training.exchange.sockets import Listener
from pileus.training.exchange.threads import Meeting
from pileus.training.member import work
from pileus.training.seat import Gathering

_END_DEADLINE_S = 60.0


class _Killed(BaseException):
    """Passes every `except Exception`, as SIGKILL passes every handler."""


class FakeEngine:
    name = "fake"
    dashboard = ""
    capabilities = Capabilities(strategies=OF_ANY_WORKERS, processes=False)

    def __init__(self) -> None:
        self._memory: tuple[str, list[bytes]] = ("", [])

    def launch(self, job: Job) -> FakeLaunch:
        if not job.drive or self._memory[0] != job.drive:
            self._memory = (job.drive, [])
        return FakeLaunch(job, self._memory[1])

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        """One item after the other, in this thread, which nothing can interrupt at its deadline."""
        check_workers(workers)
        kept = _sent(call)
        for item in items:
            yield _sent((kept if keep else _sent(call))(_sent(item)))

    def close(self) -> None:
        return None


def _sent(value: Any) -> Any:
    """As it would arrive in another process: what does not pickle fails here, too."""
    return pickle.loads(pickle.dumps(value))


class FakeLaunch:
    def __init__(self, job: Job, memory: list[bytes]) -> None:
        self._job = job
        self.memory = memory
        """What was kept last, or nothing."""
        self.addresses: tuple[str, ...] = ()
        self.events: queue.Queue[GangEvent] = queue.Queue(maxsize=10_000)
        self.meeting = Meeting(job.spec.workers, job.spec.engine.silence_deadline_s)
        self.whole = threading.Event()
        self.stopped = threading.Event()
        self.ended = threading.Event()
        ranks = range(job.spec.gang_size)
        self._threads = [threading.Thread(target=self._run, args=(rank,), name=f"worker-{rank}") for rank in ranks]
        for thread in self._threads:
            thread.start()

    def next(self, timeout_s: float) -> GangEvent | None:
        try:
            return self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def send(self, order: Order) -> None:
        if isinstance(order, Stop):
            self.stopped.set()
            return
        self.addresses = order.addresses
        self.whole.set()

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
        except SystemExit as leaving:
            self.events.put(Lost(rank=rank, cause=f"exit code {leaving.code}"))


class FakeSeat:
    cores = 1

    def __init__(self, launch: FakeLaunch, rank: int) -> None:
        self._launch = launch
        self.rank = self.local_rank = rank

    @property
    def stop_asked(self) -> bool:
        return self._launch.stopped.is_set()

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        self.serve("", deadline_s)
        return Gathering(self._launch.meeting.end(self.rank), tuple(filter(None, self._launch.addresses[num_workers:])))

    def listen(self) -> Listener:
        return Listener()

    def serve(self, address: str, deadline_s: float) -> None:
        self.report(Joined(rank=self.rank, address=address))
        is_whole = self._launch.whole.wait(deadline_s)
        self.at(0, 0)
        if not is_whole:
            raise PeerLost(f"rank {self.rank} waited {deadline_s:g} s for the gang to be whole.")

    def report(self, report: Report) -> None:
        self._launch.events.put(report)

    def at(self, epoch: int, step: int) -> None:
        if self._launch.ended.is_set():
            raise _Killed

    def keep(self, parts: Sequence[memoryview]) -> None:
        self._launch.memory[:] = [b"".join(parts)]

    def kept(self) -> bytes | None:
        return next(iter(self._launch.memory), None)

    def signal(self, whom: str, number: Signals) -> None:
        if (whom, number) != ("worker", Signals.SIGKILL):
            raise UsageError(f"the fake engine has no {whom} process for {number.name}; use an engine with processes.")
        raise _Killed
