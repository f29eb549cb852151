"""A folder as a store: every put is written aside, synced and moved into place in one step.

Kept by hand, not built on obstore: its local store has no compare-and-swap and does not sync
(docs/decisions/0002-files-store.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pileus.errors import AlreadyExists, NotFound, StoreError, VersionConflict
from pileus.spec.values import digest
from pileus.store.ports import Abilities, Blob, checked_key, checked_parts, checked_prefix

_TEMPORARY = ".tmp-"
_LOCK_DEADLINE_S = 30.0
_LOCK_POLL_S = 0.005
_WRITE_OUT_BYTES = 4 << 20
_Bytes = bytes | memoryview
_Guard = Callable[[], contextlib.AbstractContextManager[None]]


class FileStore:
    """A store over one folder, made at the first put. A value's version is the hash of its content."""

    abilities = Abilities()

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        return f"file:{str(self._root).replace('%', '%25').replace('#', '%23').replace('?', '%3F')}"

    @property
    def root(self) -> Path:
        return self._root

    def get(self, key: str) -> Blob:
        with self._told(key):
            content = self._path(key).read_bytes()
        return Blob(content, digest(content))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with self._told(key), self._path(key).open("rb") as file:
            parts = [os.pread(file.fileno(), stop - start, start) for start, stop in ranges]
        return checked_parts(parts, ranges, str(self._path(key)))

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        path = self._path(key)
        with self._told(key):
            if if_absent and path.exists():
                raise AlreadyExists(f"{path} exists already.")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, [content], replace=None if if_absent else self._locked)
        return digest(content)

    def put_chunks(self, key: str, chunks: Iterable[_Bytes]) -> None:
        """As `put` of all chunks one after the other, which are written as they come and not held."""
        path = self._path(key)
        with self._told(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, chunks, replace=self._locked)

    def swap(self, key: str, content: bytes, version: str) -> str:
        with self._told(key), self._locked():
            if self.get(key).version != version:
                raise VersionConflict(f"{self._path(key)} was changed by another writer.")
            self._write(self._path(key), [content], replace=contextlib.nullcontext)
        return digest(content)

    def list(self, prefix: str = "") -> list[str]:
        folder = self._root / checked_prefix(prefix).rpartition("/")[0]
        with self._told(prefix):
            keys = [
                (Path(parent) / name).relative_to(self._root).as_posix()
                for parent, _, names in os.walk(folder, onerror=_raise_unless_absent)
                for name in names
                if not name.startswith(_TEMPORARY)
            ]
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._told(key), contextlib.suppress(FileNotFoundError), self._locked():
            path.unlink()

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _write(self, path: Path, chunks: Iterable[_Bytes], *, replace: _Guard | None) -> None:
        """An unnamed file, so that a killed writer leaves nothing; put into place when it is whole.

        `replace` guards the step that replaces a value; None: the value must be absent.
        """
        descriptor = _unnamed_file(path.parent)
        if descriptor is None:
            return self._write_named(path, chunks, replace=replace)
        try:
            _write_all(descriptor, chunks)
            if replace is None:
                _link_unnamed(descriptor, path)
            else:
                aside = self._aside(path)
                with replace():
                    _link_unnamed(descriptor, aside)
                    aside.replace(path)
        finally:
            os.close(descriptor)
        _sync_folder(path.parent)
        return None

    def _write_named(self, path: Path, chunks: Iterable[_Bytes], *, replace: _Guard | None) -> None:
        """For file systems without unnamed files."""
        aside = self._aside(path)
        try:
            descriptor = os.open(aside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
            try:
                _write_all(descriptor, chunks)
            finally:
                os.close(descriptor)
            if replace is None:
                os.link(aside, path)
            else:
                with replace():
                    aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _aside(self, path: Path) -> Path:
        """A name of this thread's own beside a value; what a killed namesake left there is removed."""
        aside = path.parent / f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}-{path.name}"
        aside.unlink(missing_ok=True)
        return aside

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._root, os.O_RDONLY)
        try:
            _lock(descriptor, self.uri)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Say what the system's error means for this store."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"{self._root / key} does not exist.") from error
        except FileExistsError as error:
            raise AlreadyExists(f"{self._root / key} exists already.") from error
        except OSError as error:
            reason = {
                errno.ENOSPC: "the disk is full; free space there or choose another place.",
                errno.EDQUOT: "the disk quota is used up; free space there or choose another place.",
                errno.EROFS: "the place is read-only; choose another place.",
                errno.EACCES: "permission denied; choose another place or change its permissions.",
                errno.EPERM: "not permitted; choose another place or change its permissions.",
            }.get(error.errno or 0, error.strerror or str(error))
            raise StoreError(f"cannot use {self._root / key}: {reason}") from error


def _unnamed_file(folder: Path) -> int | None:
    """A descriptor, or None where the system cannot make or name such files."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        return None
    if Path(f"/proc/self/fd/{descriptor}").exists():
        return descriptor
    os.close(descriptor)
    return None


def _link_unnamed(descriptor: int, path: Path) -> None:
    """Give an unnamed file its name. Python follows the link only where it calls linkat(2)."""
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)


def _lock(descriptor: int, uri: str) -> None:
    """Held for the moment of a rename, so a long wait means a stopped process."""
    deadline = time.monotonic() + _LOCK_DEADLINE_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{uri} stayed locked for {_LOCK_DEADLINE_S:.0f} s; end the stopped pileus that holds it."
                ) from error
            time.sleep(_LOCK_POLL_S)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _write_all(descriptor: int, chunks: Iterable[_Bytes]) -> None:
    position, begun = 0, 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            written = os.write(descriptor, view)
            view, position = view[written:], position + written
        if position - begun >= _WRITE_OUT_BYTES:
            _begin_write_out(descriptor, begun, position)
            begun = position
    os.fsync(descriptor)


def _begin_write_out(descriptor: int, start: int, stop: int) -> None:
    """Have the disk begin with these bytes while the next ones are made, and do not wait.

    The advice drops clean pages alone from the cache. These are dirty: Linux begins to write them and keeps them.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, stop - start, os.POSIX_FADV_DONTNEED)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
