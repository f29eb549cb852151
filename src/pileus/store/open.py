"""From a path or URI to a store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from pileus.errors import UsageError
from pileus.store.files import FileStore
from pileus.store.memory import MemoryStore
from pileus.store.ports import Store

_memory_stores: dict[str, MemoryStore] = {}


def resolve_uri(place: str) -> str:
    """The one absolute URI of a path or URI, as run specs record it."""
    return open_store(place).uri


def plain_place(uri: str) -> str:
    """A URI as a person would type it: a path where it is one."""
    return unquote(uri.removeprefix("file:")) if uri.startswith("file:") else uri


def open_store(place: str | Path) -> Store:
    """`file:` URIs, plain paths, and `memory:NAME` (shared by name inside this process)."""
    text = str(place)
    scheme, separator, rest = text.partition(":")
    if not separator or "/" in scheme or len(scheme) == 1:
        return FileStore(Path(text).expanduser())
    if scheme == "file":
        return FileStore(Path(unquote(urlsplit(text).path)))
    if scheme == "memory":
        return _memory_stores.setdefault(rest, MemoryStore(rest))
    raise UsageError(f"a place is a path, file: or memory: (got {text!r}); other stores are not supported yet.")
