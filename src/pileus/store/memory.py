"""The fake that ships: a store in this process's memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pileus.errors import AlreadyExists, NotFound, VersionConflict
from pileus.store.ports import Abilities, Blob, checked_key, checked_parts, checked_prefix


class MemoryStore:
    """Safe for threads of one process; gone with it."""

    abilities = Abilities()

    def __init__(self, name: str = "anonymous") -> None:
        self._name = name
        self._blobs: dict[str, Blob] = {}
        self._writes = 0
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return f"memory:{self._name}"

    def get(self, key: str) -> Blob:
        with self._lock:
            return self._present(checked_key(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        content = self.get(key).content
        return checked_parts([content[start:stop] for start, stop in ranges], ranges, f"{self.uri}/{key}")

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        with self._lock:
            if if_absent and checked_key(key) in self._blobs:
                raise AlreadyExists(f"{self.uri}/{key} exists already.")
            return self._write(key, content)

    def swap(self, key: str, content: bytes, version: str) -> str:
        with self._lock:
            if self._present(key).version != version:
                raise VersionConflict(f"{self.uri}/{key} was changed by another writer.")
            return self._write(key, content)

    def list(self, prefix: str = "") -> list[str]:
        checked_prefix(prefix)
        with self._lock:
            return sorted(key for key in self._blobs if key.startswith(prefix))

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(checked_key(key), None)

    def _present(self, key: str) -> Blob:
        if key not in self._blobs:
            raise NotFound(f"{self.uri}/{key} does not exist.")
        return self._blobs[key]

    def _write(self, key: str, content: bytes | memoryview) -> str:
        self._writes += 1
        version = str(self._writes)
        self._blobs[checked_key(key)] = Blob(bytes(content), version)
        return version
