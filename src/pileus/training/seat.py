"""A member's place in a gang: what an engine gives it, and all that it needs of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals
from typing import Literal, NamedTuple, Protocol

from pileus.spec.job import Report
from pileus.training.exchange.ports import Exchange
from pileus.training.exchange.sockets import Listener


class Gathering(NamedTuple):
    """A whole gang, as one worker sees it."""

    exchange: Exchange
    """With the other workers."""
    servers: tuple[str, ...] = ()
    """HOST:PORT of each parameter server, in the order of their ranks."""
    host: str = "127.0.0.1"
    """Where rank 0 can be reached."""
    session: str = ""
    """A random word that members show each other."""


class Seat(Protocol):
    @property
    def rank(self) -> int: ...

    @property
    def local_rank(self) -> int:
        """This member's number among those of its gang on its host, from 0: it says which of the host's GPUs it has."""
        ...

    @property
    def cores(self) -> int:
        """This worker's share of its host's cores: its number of lanes unless the spec says otherwise."""
        ...

    @property
    def stop_asked(self) -> bool:
        """True once the controller has asked for an orderly end."""
        ...

    def join(self, num_workers: int, session: str, deadline_s: float) -> Gathering:
        """As a worker: report in and wait until the whole gang is there. PeerLost past the deadline."""
        ...

    def listen(self) -> Listener:
        """An ear for this member's peers, at an address by which they can call it."""
        ...

    def serve(self, address: str, deadline_s: float) -> None:
        """As a server that listens at `address`: as `join`."""
        ...

    def report(self, report: Report) -> None: ...

    def at(self, epoch: int, step: int) -> None:
        """Note the position that the next heartbeats carry."""
        ...

    def keep(self, parts: Sequence[memoryview]) -> None:
        """Have these bytes outlive this worker, in memory, in place of those kept before; it may do nothing.

        What is cut short by a death leaves those before.
        """
        ...

    def kept(self) -> bytes | None:
        """What a worker of this drive's gangs kept last; the same on every worker of a gang."""
        ...

    def signal(self, whom: Literal["worker", "controller"], number: Signals) -> None:
        """Send a signal to this worker's process or its controller's, for trials of faults.

        UsageError where there is no such process; a thread can at least be killed.
        """
        ...
