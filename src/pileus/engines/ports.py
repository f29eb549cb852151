"""The port of engines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

from pileus.errors import UsageError
from pileus.runs.life.events import Lost
from pileus.spec.job import Job, Order, Report
from pileus.spec.run import STRATEGIES
from pileus.spec.values import Spec

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEM_DEADLINE_S = 3600.0

OF_ANY_WORKERS = frozenset(STRATEGIES)
"""Strategies, as `RunSpec.strategy_kind` has them, whose workers only have to reach each other."""
OF_PROCESSES = OF_ANY_WORKERS | {"all_reduce (fast)"}
"""And the one of which a process can have one worker alone."""


class Capabilities(Spec, frozen=True, kw_only=True):
    """What an engine can do, checked before anything starts."""

    strategies: frozenset[str]
    processes: bool
    """Workers are processes that can be killed; False: threads of this process."""
    memory: bool = True
    """What workers keep in memory outlives them."""
    places: bool = False
    """Workers are placed by a cluster, which has an address, cores and GPUs."""


GangEvent = Report | Lost
"""What a worker said, or that it ended without a last word."""


def check_workers(workers: int) -> None:
    """Of a map."""
    if workers < 1:
        raise UsageError(f"workers must be at least 1 (got {workers}).")


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

    @property
    def dashboard(self) -> str:
        """Where a person can watch the cluster that places its workers; '' where there is none, or none yet."""
        ...

    def launch(self, job: Job) -> Launch:
        """Place `job.spec.workers` workers. They report `Joined`; the controller answers with `Peers`."""
        ...

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        """`call` of each item, at most `workers` of them at once; the results come in the order of the items.

        `call` is a function of a module or a `functools.partial` of one; it, items and results pickle. Items are taken
        as they are needed: only a few for each worker are begun and not yet yielded. The first item in order that
        raises ends the map: a PileusError comes as what it is, other errors as far as they pickle. WorkFailed names the
        worker that died, or was over `deadline_s` seconds at one item. Nothing starts before the first result is asked
        for, and when the generator is closed or has ended, no work and no process of it is left.

        With `keep` a worker unpickles `call` once and has it at hand for its later items, else anew for each. A kept
        call must be safe for threads, and is gone when the map has ended.
        """
        ...

    def close(self) -> None:
        """Free what the engine keeps between launches. No launch and no map may be under way."""
        ...
