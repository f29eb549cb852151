"""Whole values of a remote store, kept in a bounded folder of this machine.

Of a remote store each read costs its latency; a shard that is fetched once costs it once, and every worker and the next
run read the file. A file gets its name when it is whole and its checksum holds; each process checks it again at its
first use, so what was damaged meanwhile is thrown away and fetched again. A folder that cannot be used, a full disk
included, only means that nothing is kept.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from pileus.errors import StoreError, UsageError
from pileus.store.ports import Abilities, Blob, Store, checked_parts

DEFAULT_BYTES = 10 << 30
_PART = ".part"
_FETCH_DEADLINE_S = 600.0
"""How long to wait for another process that fetches the same value."""
_POLL_S = 0.01
_PIECE_BYTES = 16 << 20
"""Fetched at a time and held, by each of the fetchers."""
FETCHERS = 4
"""Threads that fetch what is wanted from one store."""
_TOUCH_S = 60.0
"""How exact the time of last use is."""


class Value(NamedTuple):
    """A value that never changes."""

    size_bytes: int
    crc: int
    """CRC-32C. It tells the value from another under the same key."""


Fetch = Callable[[], Iterable[bytes]]
"""A value's bytes, in pieces."""


class Cache:
    """A folder of at most `max_bytes`; what was used longest ago goes first. Safe for threads and processes."""

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._checked: set[tuple[str, int]] = set()
        """(name, file number) of files that this process has found to be whole."""
        self._lock = threading.Lock()

    def ranges(self, name: str, value: Value, ranges: Sequence[tuple[int, int]], fetch: Fetch) -> list[bytes] | None:
        """Parts of the kept file, which is fetched where there is none; None where nothing can be kept."""
        if value.size_bytes > self.max_bytes:
            return None
        try:
            descriptor = self._open(name, value)
            if descriptor is None:
                descriptor = self._fetched(name, value, fetch)
            if descriptor is None:
                return None
            try:
                _touch(descriptor)
                parts = [os.pread(descriptor, stop - start, start) for start, stop in ranges]
            finally:
                os.close(descriptor)
        except OSError:
            return None
        if any(len(part) != stop - start for part, (start, stop) in zip(parts, ranges, strict=True)):
            self.forget(name)
            return None
        return parts

    def forget(self, name: str) -> bool:
        """Throw a kept file away; False where there is none."""
        try:
            (self.folder / name).unlink()
        except OSError:
            return False
        return True

    def used_bytes(self) -> int:
        return sum(size for _, size, _ in self._entries())

    def _open(self, name: str, value: Value) -> int | None:
        """A descriptor of the kept file, or None where there is none that is whole."""
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            if self._is_whole(name, value, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        self.forget(name)
        return None

    def _is_whole(self, name: str, value: Value, descriptor: int) -> bool:
        """Read once a process."""
        mark = (name, os.fstat(descriptor).st_ino)
        with self._lock:
            if mark in self._checked:
                return True
        size, crc = os.fstat(descriptor).st_size, 0
        for start in range(0, size, _PIECE_BYTES):
            crc = google_crc32c.extend(crc, os.pread(descriptor, _PIECE_BYTES, start))
        if (size, crc) != value:
            return False
        with self._lock:
            self._checked.add(mark)
        return True

    def _fetched(self, name: str, value: Value, fetch: Fetch) -> int | None:
        """Fetch it, or wait for who does; None where what came is not the value."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f"{name}{_PART}"
        with _alone(aside) as part:
            if part is None:
                return self._open(name, value)
            try:
                if (found := self._open(name, value)) is not None:
                    return found
                self._make_room(value.size_bytes)
                if not _holds(part, fetch(), value):
                    return None
                with self._lock:
                    self._checked.add((name, os.fstat(part).st_ino))
                aside.rename(self.folder / name)
            finally:
                aside.unlink(missing_ok=True)
            return os.open(self.folder / name, os.O_RDONLY)

    def _make_room(self, size_bytes: int) -> None:
        """Delete what was used longest ago, and what killed processes left half-fetched."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries) + size_bytes
        for _, size, path in entries:
            if total <= self.max_bytes:
                return
            if path.suffix == _PART and not _is_abandoned(path):
                continue
            path.unlink(missing_ok=True)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """(time of last use, size, path) of each file."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                yield about.st_mtime, about.st_size, path


class CachedStore:
    """A store, some values of which are read by way of a cache: those that are named, and never change."""

    def __init__(self, store: Store, cache: Cache, values: Mapping[str, Value]) -> None:
        self._store = store
        self._cache = cache
        self._values = values
        self._names = {key: _name(store.uri, key, value) for key, value in values.items()}
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._queue: collections.deque[str] = collections.deque()
        self._fetchers = 0

    @property
    def uri(self) -> str:
        return self._store.uri

    @property
    def abilities(self) -> Abilities:
        return self._store.abilities

    def get(self, key: str) -> Blob:
        return self._store.get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        value = self._values.get(key)
        if value is None:
            return self._store.get_ranges(key, ranges)
        kept = self._kept(key, ranges)
        if kept is None:
            return self._store.get_ranges(key, ranges)
        return checked_parts(kept, ranges, f"{self.uri}/{key}")

    def want(self, keys: Iterable[str]) -> None:
        """Have these values fetched, some at a time, by threads of the store's own; does not wait.

        A value is begun with once. Nothing is done where not all of them can be kept.
        """
        with self._lock:
            new = [key for key in keys if key in self._values and key not in self._wanted]
            if sum(self._values[key].size_bytes for key in new) > self._cache.max_bytes:
                return
            self._wanted.update(new)
            self._queue.extend(new)
            starting = min(FETCHERS - self._fetchers, len(new))
            self._fetchers += starting
        for _ in range(starting):
            threading.Thread(target=self._fetch_wanted, name="fetch", daemon=True).start()

    def _fetch_wanted(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._fetchers -= 1
                    return
                key = self._queue.popleft()
            self._kept(key, [])

    def _kept(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes] | None:
        """From the value's copy; None where there can be none: whoever asks the store itself is told why."""
        try:
            return self._cache.ranges(self._names[key], self._values[key], ranges, lambda: self._pieces(key))
        except StoreError:
            return None

    def _pieces(self, key: str) -> Iterator[bytes]:
        size = self._values[key].size_bytes
        if size <= _PIECE_BYTES or not self._store.abilities.ranges:
            yield self._store.get(key).content
            return
        for start in range(0, size, _PIECE_BYTES):
            yield self._store.get_ranges(key, [(start, min(start + _PIECE_BYTES, size))])[0]

    def forget(self, key: str) -> bool:
        """Throw the kept copy of a value away, for it is not right; False where there is none."""
        return key in self._names and self._cache.forget(self._names[key])

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        return self._store.put(key, content, if_absent=if_absent)

    def swap(self, key: str, content: bytes, version: str) -> str:
        return self._store.swap(key, content, version)

    def list(self, prefix: str = "") -> list[str]:
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)


def default_cache() -> Cache | None:
    """The user's cache, None where it is turned off.

    PILEUS_CACHE names the folder (default `pileus/shards` in XDG_CACHE_HOME or ~/.cache), PILEUS_CACHE_BYTES its bound
    (default 10 GiB); 0 turns it off. UsageError where the bound is no number.
    """
    bound = os.environ.get("PILEUS_CACHE_BYTES") or str(DEFAULT_BYTES)
    if not bound.isascii() or not bound.isdigit():
        raise UsageError(f"PILEUS_CACHE_BYTES is a number of bytes (got {bound!r}); 0 turns the cache off.")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("PILEUS_CACHE") or f"{base}/pileus/shards").expanduser()
    return Cache(folder.absolute(), int(bound)) if int(bound) else None


def _name(uri: str, key: str, value: Value) -> str:
    text = f"{uri}/{key}#{value.crc}#{value.size_bytes}"
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _holds(descriptor: int, pieces: Iterable[bytes], value: Value) -> bool:
    """Write the pieces; whether they are the value."""
    os.ftruncate(descriptor, 0)
    size, crc = 0, 0
    for piece in pieces:
        size, crc = size + len(piece), google_crc32c.extend(crc, piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
    return (size, crc) == value


def _touch(descriptor: int) -> None:
    now = time.time()
    if now - os.fstat(descriptor).st_mtime > _TOUCH_S:
        os.utime(descriptor, (now, now))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[int | None]:
    """The file, made where it is absent and locked against other threads and processes; None past the deadline.

    Whoever held the lock before may have renamed or removed the file, so it must still be the one at that path.
    """
    deadline = time.monotonic() + _FETCH_DEADLINE_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _try_lock(descriptor) and _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)
        if time.monotonic() > deadline:
            yield None
            return
        time.sleep(_POLL_S)


def _is_abandoned(part: Path) -> bool:
    """No process is fetching into it."""
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
