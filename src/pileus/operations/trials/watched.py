"""An engine that is watched: a trial hears all that its gangs say, and ends by its deadline whatever they do."""

from __future__ import annotations

import time
from collections.abc import Callable

from pileus.engines.ports import Engine, GangEvent, Launch
from pileus.engines.wrapped import WrappedEngine
from pileus.errors import WorkFailed
from pileus.spec.job import Job, Order


class Overdue(WorkFailed):
    """A trial was not over by its deadline."""


class Watched(WrappedEngine):
    """`heard` is called with each event before the controller has it; `launching` before each gang, with its number."""

    def __init__(
        self,
        engine: Engine,
        until: float,
        heard: Callable[[GangEvent], None] = lambda event: None,
        launching: Callable[[int], None] = lambda number: None,
    ) -> None:
        """`until`: the deadline, by the monotonic clock."""
        super().__init__(engine)
        self._until = until
        self._heard, self._launching = heard, launching
        self._launches = 0

    def launch(self, job: Job) -> Launch:
        self._launches += 1
        self._launching(self._launches)
        return _WatchedLaunch(self._engine.launch(job), self._until, self._heard)

    def close(self) -> None:
        """The engine itself stays open."""


class _WatchedLaunch:
    def __init__(self, launch: Launch, until: float, heard: Callable[[GangEvent], None]) -> None:
        self._launch = launch
        self._until = until
        self._heard = heard

    def next(self, timeout_s: float) -> GangEvent | None:
        if time.monotonic() > self._until:
            raise Overdue("the trial was not over by its deadline.")
        event = self._launch.next(timeout_s)
        if event is not None:
            self._heard(event)
        return event

    def send(self, order: Order) -> None:
        self._launch.send(order)

    def end(self) -> None:
        self._launch.end()
