"""The port of object stores.

Keys are relative, '/'-separated names without '.', '..' or empty parts. A put is all or nothing: no reader
ever sees a part of a value, also when the writer is killed half-way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pileus.errors import UsageError


class Blob(NamedTuple):
    """A value with the version to name in `swap`."""

    content: bytes
    version: str


class Store(Protocol):
    """Errors: NotFound, AlreadyExists, VersionConflict; StoreError for a full disk, a read-only place or no access."""

    @property
    def uri(self) -> str:
        """Where this store lies, as `open_store` takes it."""
        ...

    def get(self, key: str) -> Blob: ...

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Half-open byte ranges [start, stop) of one value; StoreError when the value is shorter."""
        ...

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        """Write and sync; returns the new version. `if_absent` fails with AlreadyExists."""
        ...

    def swap(self, key: str, content: bytes, version: str) -> str:
        """Replace only where the present version is `version`; returns the new one, else VersionConflict."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """Keys that start with `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove a value; absent is no error."""
        ...


def checked_key(key: str) -> str:
    """The key itself, or UsageError where it is not a plain relative name."""
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") or part.startswith(".tmp-") for part in parts) or "\0" in key:
        raise UsageError(f"a store key is a relative name of plain parts (got {key!r}); remove '..' and empty parts.")
    return key
