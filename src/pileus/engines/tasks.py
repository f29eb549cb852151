"""One call over many items, by whatever runs tasks: the order, the bounds and the deadlines are the same for all."""

from __future__ import annotations

import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol

from pileus.engines.ports import Item, Result, check_workers
from pileus.errors import WorkFailed

_AHEAD = 2
"""Items begun and not yet yielded, for each worker."""
_LOOK_S = 1.0
DIED = "run it again, with fewer workers where memory is short."
"""The way out where a worker is gone."""


class Tasks(Protocol):
    """Runs one call. One thread uses it."""

    def begin(self, number: int, content: bytes) -> None:
        """Of the item of that number, pickled; no more at once than there are workers."""
        ...

    def ended(self, timeout_s: float) -> Mapping[int, bytes]:
        """What `outcome` or `died` gave, by number of the item; waits for one at least, and no longer than that."""
        ...

    def told(self, number: int) -> str:
        """Who is at an item, in words."""
        ...

    def end(self) -> None:
        """Nothing that was begun goes on, and nothing of it is left."""
        ...


def map_by(
    start: Callable[[bytes, int, bool], Tasks],
    call: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    deadline_s: float,
    keep: bool,
) -> Generator[Result, None, None]:
    """As `Engine.map` has it. `start`: of a pickled call, for a number of workers, which may keep it."""
    check_workers(workers)
    tasks = start(pickle.dumps(call), workers, keep)
    try:
        yield from _InOrder[Item, Result](tasks, items, workers, deadline_s).results()
    finally:
        tasks.end()


def outcome(call: bytes, content: bytes) -> bytes:
    """In a worker: whether it is a result, and what was returned or raised, pickled."""
    return _outcome(lambda: pickle.loads(call), content)  # from the process that maps


def outcome_of_kept(word: str, fetch: Callable[[], bytes], content: bytes) -> bytes:
    """As `outcome`, of the call of the map that has this word. It is fetched at a process's first item of that map."""
    return _outcome(lambda: _kept_call(word, fetch), content)


def forget(word: str) -> None:
    """What this process keeps for that map."""
    with _keeping:
        _kept.pop(word, None)


_kept: dict[str, Callable[[Any], Any]] = {}
"""The call of the latest map that keeps its call, by the word of that map."""
_keeping = threading.Lock()


def _kept_call(word: str, fetch: Callable[[], bytes]) -> Callable[[Any], Any]:
    with _keeping:
        if word not in _kept:
            _kept.clear()
            _kept[word] = pickle.loads(fetch())
        return _kept[word]


def _outcome(load: Callable[[], Callable[[Any], Any]], content: bytes) -> bytes:
    try:
        return pickle.dumps((True, load()(pickle.loads(content))))
    except Exception as error:
        error.add_note(f"in process {os.getpid()}:\n{traceback.format_exc()}")
        return _sent(error)


def died(who: str, how: str) -> bytes:
    """As an outcome, of a worker that is gone."""
    return _sent(WorkFailed(f"{who} {how}; {DIED}"))


def _sent(error: Exception) -> bytes:
    """An error as what it is, where it comes back from a pickle; else by its name."""
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((False, WorkFailed(f"{type(error).__qualname__}: {error}")))
    return content


class _InOrder(Generic[Item, Result]):
    def __init__(self, tasks: Tasks, items: Iterable[Item], workers: int, deadline_s: float) -> None:
        self._tasks = tasks
        self._items = enumerate(items)
        self._workers = workers
        self._deadline_s = deadline_s
        self._busy: dict[int, float] = {}
        """Until when, by number of the item."""
        self._outcomes: dict[int, tuple[bool, Any]] = {}
        """Not yet yielded: by number of the item, whether it is a result, and what was returned or raised."""
        self._has_more = True

    def results(self) -> Iterator[Result]:
        turn = 0
        while True:
            self._feed()
            if turn in self._outcomes:
                is_result, value = self._outcomes.pop(turn)
                if not is_result:
                    raise value
                turn += 1
                yield value
            elif self._busy:
                self._hear()
            else:
                return

    def _feed(self) -> None:
        """Have every worker busy, as far as there are items and the next result to yield is not far behind."""
        room = _AHEAD * self._workers
        while self._has_more and len(self._busy) < self._workers and len(self._busy) + len(self._outcomes) < room:
            number, item = next(self._items, (None, None))
            if number is None:
                self._has_more = False
                return
            self._tasks.begin(number, pickle.dumps(item))
            self._busy[number] = time.monotonic() + self._deadline_s

    def _hear(self) -> None:
        """Wait for an outcome, a little."""
        slowest = min(self._busy, key=lambda number: self._busy[number])
        left = self._busy[slowest] - time.monotonic()
        for number, content in self._tasks.ended(min(_LOOK_S, max(0.0, left))).items():
            del self._busy[number]
            self._outcomes[number] = pickle.loads(content)  # from a worker of our own
            self._has_more = self._has_more and self._outcomes[number][0]
        if slowest in self._busy and left <= 0:
            who = self._tasks.told(slowest)
            raise WorkFailed(f"{who} did not end within {self._deadline_s:g} s; run it again in smaller items.")
