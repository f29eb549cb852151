"""A store that counts what it is asked for, and answers as late as one that is far away."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pileus.store.ports import Abilities, Blob, Store


class MeasuredStore:
    """Another store, each request of which waits `latency_s` first. Safe for threads: they wait side by side."""

    def __init__(self, store: Store, latency_s: float = 0.0) -> None:
        self._store = store
        self._latency_s = latency_s
        self._lock = threading.Lock()
        self.requests = 0
        """Calls of this store; what a client makes of one (retries, pieces side by side) is its own."""
        self.size_bytes = 0
        """That came back."""

    @property
    def uri(self) -> str:
        return self._store.uri

    @property
    def abilities(self) -> Abilities:
        return self._store.abilities

    def get(self, key: str) -> Blob:
        self._wait()
        blob = self._store.get(key)
        self._count(len(blob.content))
        return blob

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._wait()
        parts = self._store.get_ranges(key, ranges)
        self._count(sum(map(len, parts)))
        return parts

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        self._wait()
        self._count(0)
        return self._store.put(key, content, if_absent=if_absent)

    def swap(self, key: str, content: bytes, version: str) -> str:
        self._wait()
        self._count(0)
        return self._store.swap(key, content, version)

    def list(self, prefix: str = "") -> list[str]:
        self._wait()
        self._count(0)
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._wait()
        self._count(0)
        self._store.delete(key)

    def _wait(self) -> None:
        if self._latency_s:
            time.sleep(self._latency_s)

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self.requests += 1
            self.size_bytes += size_bytes
