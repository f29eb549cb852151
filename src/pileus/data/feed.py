"""What is needed next, made before it is asked for: threads work along a known sequence, a bounded way ahead."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Generic, TypeVar

from pileus.errors import StoreError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

DEADLINE_S = 600.0
"""For one value: longer than the stores themselves wait and try again."""


class Feed(Generic[Key, Value]):
    """Values of `make` for the keys of a sequence; each key is taken once, by any thread, nearly in order.

    Without readers a value is made by who takes it. What `make` raises, `take` raises.
    """

    def __init__(self, make: Callable[[Key], Value], keys: Iterator[Key], *, readers: int, ahead: int) -> None:
        """At most `ahead` values, at least one for each reader, are made or in the making and not yet taken."""
        self._make = make
        self._keys = keys
        self._ahead = max(ahead, readers)
        self._pool = ThreadPoolExecutor(readers, "reader") if readers else None
        self._lock = threading.Lock()
        self._begun: collections.OrderedDict[Key, Future[Value]] = collections.OrderedDict()
        self.stall_s = 0.0
        """Seconds that takers have waited, all together; without readers, the time of the making."""

    def take(self, key: Key) -> Value:
        """The value of a key that comes next or nearly so. StoreError past the deadline."""
        started = time.perf_counter()
        try:
            if self._pool is None:
                return self._make(key)
            return self._taken(key).result(DEADLINE_S)
        except FutureTimeout as error:
            raise StoreError(f"reading {key} took more than {DEADLINE_S:g} s; its store does not answer.") from error
        finally:
            with self._lock:
                self.stall_s += time.perf_counter() - started

    def close(self) -> None:
        """Give up what is begun and end the readers."""
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _taken(self, key: Key) -> Future[Value]:
        assert self._pool is not None
        with self._lock:
            while key not in self._begun:
                self._begin(next(self._keys))
            taken = self._begun.pop(key)
            while len(self._begun) < self._ahead:
                following = next(self._keys, None)
                if following is None:
                    break
                self._begin(following)
            return taken

    def _begin(self, key: Key) -> None:
        assert self._pool is not None
        self._begun[key] = self._pool.submit(self._make, key)
