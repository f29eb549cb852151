"""A worker's place in a gang: what an engine gives it, and all that it needs of the engine."""

from __future__ import annotations

from typing import NoReturn, Protocol

from pileus.spec.job import Report
from pileus.training.exchange.ports import Exchange


class Seat(Protocol):
    @property
    def rank(self) -> int: ...

    @property
    def cores(self) -> int:
        """This worker's share of its host's cores: its number of lanes unless the spec says otherwise."""
        ...

    @property
    def stop_asked(self) -> bool:
        """True once the controller has asked for an orderly end."""
        ...

    def join(self, num_workers: int, session: str, deadline_s: float) -> Exchange:
        """Report in and wait until the whole gang is there. PeerLost past the deadline."""
        ...

    def report(self, report: Report) -> None: ...

    def at(self, epoch: int, step: int) -> None:
        """Note the position that the next heartbeats carry."""
        ...

    def die(self, whom: str) -> NoReturn:
        """End 'worker' or 'controller' as SIGKILL does, for trials of faults."""
        ...
