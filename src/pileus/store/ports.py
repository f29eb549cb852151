"""The port of object stores.

Keys are relative, '/'-separated names without '.', '..' or empty parts. A put is all or nothing: no reader
ever sees a part of a value, also when the writer is killed half-way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pileus.errors import StoreError, UsageError

MAX_VALUE_BYTES = 4 << 30
"""The largest value that is read from outside this machine: it is held in memory."""


class Blob(NamedTuple):
    """A value with the version to name in `swap`."""

    content: bytes
    version: str


class Abilities(NamedTuple):
    """What a store can do beside reading; StoreError for the rest, which says what can do it."""

    write: bool = True
    """`put` and `delete`."""
    swap: bool = True
    """Compare-and-swap in one step of the store itself."""
    list: bool = True
    ranges: bool = True
    """A range costs what it holds; False where it may cost the whole value."""


class Store(Protocol):
    """Errors: NotFound, AlreadyExists, VersionConflict; StoreError for a full disk, a read-only place or no access."""

    @property
    def uri(self) -> str:
        """Where this store lies, as `open_store` takes it."""
        ...

    @property
    def abilities(self) -> Abilities: ...

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


def checked_prefix(prefix: str) -> str:
    """The prefix itself, or UsageError where it climbs out of the store."""
    if ".." in prefix.split("/"):
        raise UsageError(f"a prefix may not climb out of the store (got {prefix!r}); remove '..'.")
    return prefix


def checked_parts(parts: Sequence[bytes], ranges: Sequence[tuple[int, int]], place: str) -> list[bytes]:
    """What was read of the ranges; StoreError where one came short, the value having ended."""
    for part, (start, stop) in zip(parts, ranges, strict=True):
        if len(part) != stop - start:
            raise StoreError(f"{place} ends inside bytes [{start}, {stop}); it is truncated.")
    return list(parts)
