"""What was seen of workers and hosts, bounded: with more looks than that, every second one goes, of all alike."""

from __future__ import annotations

import contextlib
import time

import msgspec

from pileus.errors import NotFound, StoreError
from pileus.spec.usage import Look, Use, Watched
from pileus.store import Store

USAGE_KEY = "usage.json"
MOST_LOOKS = 3000
_FIRST_S = 1.0
"""About how often workers look."""
_FEWEST = 2
"""Looks of a worker: between them all that it used is known."""
_SAVE_S = 30.0


class Book:
    """Looks by worker. Those of one worker come in the order of time; one that does not is left out."""

    def __init__(self, before: Use = Use(), most: int = MOST_LOOKS) -> None:  # noqa: B008 - a frozen constant
        self._most = most
        self._lines = {(each.attempt, each.worker): _Line(each) for each in before.watched}
        self._every_s = 0.0
        self._num_looks = sum(len(line.looks) for line in self._lines.values())

    def note(self, of: Watched) -> None:
        """Put its looks behind those of the same worker of the same gang."""
        line = self._lines.setdefault((of.attempt, of.worker), _Line(msgspec.structs.replace(of, looks=())))
        for look in of.looks:
            self._num_looks += line.add(look, self._every_s)
        while self._num_looks > self._most:
            self._thin()

    def use(self) -> Use:
        lines = self._lines.values()
        return Use(watched=tuple(msgspec.structs.replace(line.who, looks=tuple(line.looks)) for line in lines))

    def _thin(self) -> None:
        """Leave at most half, give or take the ends; where ends alone are too many, the oldest gangs go."""
        before = self._num_looks
        self._every_s = max(_FIRST_S, self._every_s) * 2
        for line in self._lines.values():
            line.halve()
        self._num_looks = sum(len(line.looks) for line in self._lines.values())
        if self._num_looks == before:
            oldest = next(iter(self._lines))
            self._num_looks -= len(self._lines.pop(oldest).looks)


class _Line:
    def __init__(self, who: Watched) -> None:
        self.who = who
        self.looks = list(who.looks)

    def add(self, look: Look, every_s: float) -> int:
        """How many more there are now: the newest is always kept, in place of one that is too near the one before."""
        if self.looks and look.at_s < self.looks[-1].at_s:
            return 0
        if len(self.looks) >= _FEWEST and self.looks[-1].at_s - self.looks[-2].at_s < every_s:
            self.looks[-1] = look
            return 0
        self.looks.append(look)
        return 1

    def halve(self) -> None:
        if len(self.looks) > _FEWEST:
            self.looks = [*self.looks[:-1:2], self.looks[-1]]


class RunUsage:
    """`usage.json` of a run, written now and then. A store that does not take it never stops the run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._book = Book(read_usage(store))
        self._is_new = False
        self._saved_s = time.monotonic()

    def note(self, of: Watched) -> None:
        self._book.note(of)
        self._is_new = True
        if time.monotonic() - self._saved_s >= _SAVE_S:
            self.save()

    def save(self) -> None:
        if self._is_new:
            self._is_new, self._saved_s = False, time.monotonic()
            with contextlib.suppress(StoreError):
                self._store.put(USAGE_KEY, msgspec.json.encode(self._book.use()))


def read_usage(store: Store) -> Use:
    """Nothing where there is nothing, or nothing that can be read: what was used is told for a person's sake alone."""
    try:
        return msgspec.json.decode(store.get(USAGE_KEY).content, type=Use)
    except (NotFound, StoreError, msgspec.MsgspecError, UnicodeDecodeError):
        return Use()
