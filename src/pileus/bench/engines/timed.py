"""An engine whose map is looked at: when its workers had begun tells its start-up from the work."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable, Generator, Iterable
from typing import Generic, NamedTuple

from pileus.engines.ports import ITEM_DEADLINE_S, Engine, Item, Result
from pileus.engines.wrapped import WrappedEngine


class Clocked(NamedTuple, Generic[Result]):
    """What came of an item, and who began it when."""

    worker: str
    began: float
    """By the system's clock, which hosts of one cluster are taken to share."""
    result: Result


class Timed(WrappedEngine):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.map_start_s = 0.0
        """From the asking until each worker had begun its first item, over all maps."""

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        asked = time.time()
        first: dict[str, float] = {}
        timed = functools.partial(clocked, call)
        for each in self._engine.map(timed, items, workers=workers, deadline_s=deadline_s, keep=keep):
            first[each.worker] = min(each.began, first.get(each.worker, each.began))
            yield each.result
        self.map_start_s += max(0.0, max(first.values(), default=asked) - asked)


def clocked(call: Callable[[Item], Result], item: Item) -> Clocked[Result]:
    began = time.time()
    return Clocked(f"{platform.node()}:{os.getpid()}", began, call(item))
