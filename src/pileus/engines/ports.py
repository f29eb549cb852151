"""The port of engines."""

from __future__ import annotations

from typing import Protocol

from pileus.runs.life.events import Lost
from pileus.spec.job import Job, Order, Report
from pileus.spec.values import Spec


class Capabilities(Spec, frozen=True, kw_only=True):
    """What an engine can do, checked before anything starts."""

    strategies: frozenset[str]
    processes: bool
    """Workers are processes that can be killed; False: threads of this process."""


GangEvent = Report | Lost
"""What a worker said, or that it ended without a last word."""


class Launch(Protocol):
    """A gang under way. One thread uses it."""

    def next(self, timeout_s: float) -> GangEvent | None:
        """The next thing that a worker said or that befell it; None when nothing came in time."""
        ...

    def send(self, order: Order) -> None:
        """To every worker that still runs."""
        ...

    def end(self) -> None:
        """Kill what still runs; returns when every worker is gone and nothing of the gang is left."""
        ...


class Engine(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def launch(self, job: Job) -> Launch:
        """Place `job.spec.workers` workers. They report `Joined`; the controller answers with `Peers`."""
        ...

    def close(self) -> None:
        """Free what the engine keeps between launches. No launch may be under way."""
        ...
