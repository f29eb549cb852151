"""An engine that does as another does, for those that add to one part of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from pileus.engines.ports import ITEM_DEADLINE_S, Engine, Item, Launch, Result
from pileus.spec.job import Job


class WrappedEngine:
    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.capabilities = engine.capabilities
        self._engine = engine

    @property
    def dashboard(self) -> str:
        """Of an engine with a cluster it is known when that is there."""
        return self._engine.dashboard

    def launch(self, job: Job) -> Launch:
        return self._engine.launch(job)

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        return self._engine.map(call, items, workers=workers, deadline_s=deadline_s, keep=keep)

    def close(self) -> None:
        self._engine.close()
