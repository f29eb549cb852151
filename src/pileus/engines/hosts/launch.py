"""A gang over hosts: some ranks may live on the chief's own, the others live with the agents that have called.

A rank whose host has not called yet waits for it until the gang's start deadline, and says so; a host that is gone
takes its ranks with it.
"""

from __future__ import annotations

import collections
import select
import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import msgspec

from pileus.engines.hosts.agents import Agents
from pileus.engines.hosts.link import Link
from pileus.engines.hosts.messages import End, Gone, Place, Relay, ToChief, Told
from pileus.engines.ports import GangEvent
from pileus.engines.processes.gang import Gang
from pileus.runs.life.events import Lost
from pileus.spec.job import Beat, Failed, Finished, Job, Order, Stopped

_LOOK_S = 0.1
_TELL_S = 1.0
_END_DEADLINE_S = 20.0


class Ending(NamedTuple):
    """Of a host."""

    reason: str
    is_for_good: bool
    """Whoever came in its place would end in the same way."""


class Hosts(Protocol):
    """What an engine knows of the hosts of a gang, beyond what they say themselves."""

    def told(self, name: str) -> str:
        """Which host it is, in words."""
        ...

    def waits(self, name: str) -> str:
        """What a host that has not called yet waits for, in words."""
        ...

    def endings(self) -> Mapping[str, Ending]:
        """Of the hosts that are known to have ended, or will never be there."""
        ...


def job_over_hosts(job: Job) -> Job:
    """What is kept in memory would be known to one host alone, so nothing is; the run goes on from disk."""
    checkpoints = msgspec.structs.replace(job.spec.checkpoints, commit_s=None)
    return msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, checkpoints=checkpoints))


class HostsLaunch:
    def __init__(
        self,
        number: int,
        job: Job,
        agents: Agents,
        ranks: Mapping[str, tuple[int, ...]],
        hosts: Hosts,
        own: Gang | None = None,
    ) -> None:
        """`ranks` by host; `own` are those on the chief's. `number` counts the chief's gangs."""
        self._number = number
        self._job = job
        self._agents = agents
        self._hosts = hosts
        self._ranks = ranks
        self._own = own
        self._events: collections.deque[GangEvent] = collections.deque()
        self._begun: set[str] = set()
        """Agents that have been told of their ranks."""
        self._lost: set[str] = set()
        self._heard: set[str] = set()
        """Hosts of which a rank has said something."""
        self._said_last_word: set[int] = set()
        self._looked_s = 0.0
        self.has_ended = False
        for name in list(agents.links):
            self._begin(name)

    def next(self, timeout_s: float) -> GangEvent | None:
        until = time.monotonic() + timeout_s
        while not self._events:
            left = max(0.0, until - time.monotonic())
            self._look(min(left, _LOOK_S))
            if not left:
                break
        return self._events.popleft() if self._events else None

    def send(self, order: Order) -> None:
        if self._own is not None:
            self._own.send(order)
        for name in list(self._begun):
            self._tell(name, Relay(gang=self._number, order=order))

    def end(self) -> None:
        self.has_ended = True
        for name in list(self._begun):
            self._tell(name, End(gang=self._number))
        if self._own is not None:
            self._own.end()
            self._own = None
        until = time.monotonic() + _END_DEADLINE_S
        while self._begun and time.monotonic() < until:
            self._hear(_LOOK_S)
        for name in list(self._begun):  # it does not answer; without its link it ends by itself
            self._agents.drop(name)
        self._begun.clear()

    def _look(self, timeout_s: float) -> None:
        self._hear(timeout_s)
        while self._own is not None and (event := self._own.next(0.0)) is not None:
            self._events.append(event)
        for name in self._agents.welcome():
            if name in self._begun:
                self._lose(name, "another process of it has called")
            elif name not in self._lost:
                self._begin(name)
        is_due = time.monotonic() - self._looked_s >= _TELL_S
        if is_due or self._absent:
            self._note_endings()
        if is_due:
            self._looked_s = time.monotonic()
            self._tell_absent()
            self._tell_starting()

    def _hear(self, timeout_s: float) -> None:
        waited: list[Link | Gang] = [*self._agents.links.values(), *([self._own] if self._own else [])]
        ready, _, _ = select.select(waited, [], [], timeout_s)
        for name, link in list(self._agents.links.items()):
            said: list[ToChief] | None = link.receive(ToChief) if link in ready else []
            if said is None:
                self._agents.drop(name)
                self._lose(name, "its connection is closed")
            for message in said or ():
                self._take(name, message)

    def _take(self, name: str, message: ToChief) -> None:
        if message.gang != self._number:
            return
        match message:
            case Gone():
                self._begun.discard(name)
            case Told(event=event):
                self._heard.add(name)
                if isinstance(event, (Finished, Stopped, Failed, Lost)):
                    self._said_last_word.add(event.rank)
                self._events.append(event)

    def _begin(self, name: str) -> None:
        if name in self._ranks:
            self._begun.add(name)
            self._tell(name, Place(gang=self._number, job=self._job, ranks=self._ranks[name]))

    def _tell(self, name: str, message: Place | Relay | End) -> None:
        link = self._agents.links.get(name)
        try:
            if link is not None:
                link.send(message)
        except OSError as error:
            self._agents.drop(name)
            self._lose(name, error.strerror or str(error))

    def _lose(self, name: str, why: str) -> None:
        """Of a host that had ranks; one that had none yet may come again."""
        if name in self._begun:
            ending = self._hosts.endings().get(name)
            self._end_ranks(name, ending or Ending(why, is_for_good=False))

    def _note_endings(self) -> None:
        """What the engine knows may come before the connection is closed, or there never was one."""
        for name, ending in self._hosts.endings().items():
            if name in self._ranks and name not in self._lost:
                self._agents.drop(name)
                self._end_ranks(name, ending)

    def _end_ranks(self, name: str, ending: Ending) -> None:
        self._lost.add(name)
        self._begun.discard(name)
        cause = f"its host {self._hosts.told(name)} is gone: {ending.reason}"
        for rank in self._ranks[name]:
            if rank in self._said_last_word:
                continue
            if ending.is_for_good:
                self._events.append(Failed(rank=rank, step=0, cause="bad_input", message=cause))
            else:
                self._events.append(Lost(rank=rank, cause=cause))

    @property
    def _absent(self) -> set[str]:
        return set(self._ranks) - self._begun - self._lost

    def _tell_starting(self) -> None:
        """For the ranks whose host is there and whose process is not: its start may take longer than a silence may."""
        for name in self._begun - self._heard:
            doing = f"being started by {self._hosts.told(name)}"
            self._events.extend(Beat(rank=rank, epoch=0, step=0, doing=doing) for rank in self._ranks[name])

    def _tell_absent(self) -> None:
        """For the ranks that are not even begun."""
        for name in self._absent:
            waits, refusal = self._hosts.waits(name), self._agents.refusals.get(name)
            doing = f"{waits}, which refused it: {refusal}" if refusal else waits
            for rank in set(self._ranks[name]) - self._said_last_word:
                self._events.append(Beat(rank=rank, epoch=0, step=0, doing=doing))
