"""A gang over the hosts of a cluster: some ranks on the chief's own, the others by the agents that have called.

A rank whose host has not called yet waits for it until the gang's start deadline, and says so; a host that is gone
takes its ranks with it, and the next gang finds it back if it has come again.
"""

from __future__ import annotations

import collections
import select
import time
from collections.abc import Mapping, Sequence

from pileus.engines.cluster.environment import Cluster, Task
from pileus.engines.cluster.handshake import Arrival, Rejected
from pileus.engines.cluster.host import Host
from pileus.engines.cluster.link import Link
from pileus.engines.cluster.messages import End, Gone, Place, Relay, ToChief, Told
from pileus.engines.cluster.reception import Reception
from pileus.engines.ports import GangEvent
from pileus.engines.processes.gang import Gang
from pileus.runs.life.events import Lost
from pileus.spec.job import Beat, Failed, Finished, Job, Order, Stopped

_LOOK_S = 0.1
_END_DEADLINE_S = 20.0


def placed(job: Job, cluster: Cluster, present: Sequence[Task]) -> dict[Task, tuple[int, ...]]:
    """Ranks by host: in blocks, over those that are present before the others, so that a gang may have fewer workers
    than there are hosts. The chief's host has rank 0."""
    workers = sorted(cluster.workers, key=lambda task: task != cluster.chief and task not in present)
    spec = job.spec
    num_hosts = min(len(workers), spec.workers)
    ranks: dict[Task, list[int]] = collections.defaultdict(list)
    for rank in range(spec.workers):
        ranks[workers[rank * num_hosts // spec.workers]].append(rank)
    for rank in range(spec.workers, spec.gang_size):
        ranks[cluster.servers[(rank - spec.workers) % len(cluster.servers)]].append(rank)
    return {task: tuple(found) for task, found in ranks.items()}


class Agents:
    """The hosts that have called and are still there. One thread uses it."""

    def __init__(self, cluster: Cluster, reception: Reception) -> None:
        self.cluster = cluster
        self.links: dict[Task, Link] = {}
        self.refusals: dict[Task | None, str] = {}
        """The latest, by who called."""
        self._reception = reception

    def welcome(self) -> list[Task]:
        """Those that have called since; one that comes again takes the place of who it was before."""
        came = []
        while not self._reception.arrivals.empty():
            arrival = self._reception.arrivals.get_nowait()
            match arrival:
                case Arrival():
                    self.drop(arrival.task)
                    self.links[arrival.task] = arrival.link
                    self.refusals.pop(arrival.task, None)
                    came.append(arrival.task)
                case Rejected():
                    self.refusals[arrival.task] = arrival.reason
        return came

    def drop(self, task: Task) -> None:
        link = self.links.pop(task, None)
        if link is not None:
            link.close()

    def absence(self, task: Task) -> str:
        """What a rank of that host waits for, in words."""
        waits = f"waiting for {self.cluster.told(task)} to call the chief"
        refusal = self.refusals.get(task)
        return f"{waits}, which refused it: {refusal}" if refusal else waits


class ClusterLaunch:
    def __init__(self, number: int, job: Job, agents: Agents, host: Host) -> None:
        self._number = number
        self._job = job
        self._agents = agents
        self._events: collections.deque[GangEvent] = collections.deque()
        agents.welcome()
        self._ranks: Mapping[Task, tuple[int, ...]] = placed(job, agents.cluster, list(agents.links))
        self._begun: set[Task] = set()
        """Agents that have been told of their ranks."""
        self._lost: set[Task] = set()
        self._said_last_word: set[int] = set()
        self._looked_s = 0.0
        self._gang = host.gang(job, self._ranks[agents.cluster.chief])
        for task in list(agents.links):
            self._begin(task)

    def next(self, timeout_s: float) -> GangEvent | None:
        until = time.monotonic() + timeout_s
        while not self._events:
            left = max(0.0, until - time.monotonic())
            self._look(min(left, _LOOK_S))
            if not left:
                break
        return self._events.popleft() if self._events else None

    def send(self, order: Order) -> None:
        self._gang.send(order)
        for task in list(self._begun):
            self._tell(task, Relay(gang=self._number, order=order))

    def end(self) -> None:
        for task in list(self._begun):
            self._tell(task, End(gang=self._number))
        self._gang.end()
        until = time.monotonic() + _END_DEADLINE_S
        while self._begun and time.monotonic() < until:
            self._hear(_LOOK_S)
        for task in list(self._begun):  # it does not answer; without its link it ends by itself
            self._agents.drop(task)
        self._begun.clear()

    def _look(self, timeout_s: float) -> None:
        self._hear(timeout_s, [self._gang])
        while (event := self._gang.next(0.0)) is not None:
            self._events.append(event)
        for task in self._agents.welcome():
            if task in self._begun:
                self._lose(task, "another process of it has called")
            elif task not in self._lost:
                self._begin(task)
        self._tell_absent()

    def _hear(self, timeout_s: float, others: Sequence[Gang] = ()) -> None:
        waited: list[Link | Gang] = [*self._agents.links.values(), *others]
        ready, _, _ = select.select(waited, [], [], timeout_s)
        for task, link in list(self._agents.links.items()):
            said: list[ToChief] | None = link.receive(ToChief) if link in ready else []
            if said is None:
                self._agents.drop(task)
                self._lose(task, "its connection is closed")
            for message in said or ():
                self._take(task, message)

    def _take(self, task: Task, message: ToChief) -> None:
        if message.gang != self._number:
            return
        match message:
            case Gone():
                self._begun.discard(task)
            case Told(event=event):
                if isinstance(event, (Finished, Stopped, Failed, Lost)):
                    self._said_last_word.add(event.rank)
                self._events.append(event)

    def _begin(self, task: Task) -> None:
        if task in self._ranks:
            self._begun.add(task)
            self._tell(task, Place(gang=self._number, job=self._job, ranks=self._ranks[task]))

    def _tell(self, task: Task, message: Place | Relay | End) -> None:
        link = self._agents.links.get(task)
        try:
            if link is not None:
                link.send(message)
        except OSError as error:
            self._agents.drop(task)
            self._lose(task, error.strerror or str(error))

    def _lose(self, task: Task, why: str) -> None:
        self._lost.add(task)
        if task in self._begun:
            self._begun.discard(task)
            cause = f"its host {self._agents.cluster.told(task)} is gone: {why}"
            ranks = [rank for rank in self._ranks[task] if rank not in self._said_last_word]
            self._events.extend(Lost(rank=rank, cause=cause) for rank in ranks)

    def _tell_absent(self) -> None:
        """Each second, for the ranks that are not even begun."""
        if time.monotonic() - self._looked_s < 1.0:
            return
        self._looked_s = time.monotonic()
        for task in set(self._ranks) - self._begun - self._lost - {self._agents.cluster.chief}:
            for rank in set(self._ranks[task]) - self._said_last_word:
                self._events.append(Beat(rank=rank, epoch=0, step=0, doing=self._agents.absence(task)))
