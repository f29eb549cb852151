"""From a path or URI to a store. What needs an extra is imported when its scheme is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pileus.errors import MissingExtra, UsageError
from pileus.store.files import FileStore
from pileus.store.memory import MemoryStore
from pileus.store.ports import Store

_memory_stores: dict[str, MemoryStore] = {}

_CLOUD, _WEB, _HDFS = ("cloud", "open_cloud", "s3"), ("web", "open_web", "s3"), ("webhdfs", "open_webhdfs", "hdfs")
_REMOTE = {"s3": _CLOUD, "gs": _CLOUD, "az": _CLOUD, "http": _WEB, "https": _WEB, "webhdfs": _HDFS}
"""By scheme: module of this package, function there, extra that brings its library."""


def resolve_uri(place: str) -> str:
    """The one absolute URI of a path or URI, as run specs record it."""
    return open_store(place).uri


def plain_place(uri: str) -> str:
    """A URI as a person would type it: a path where it is one."""
    return unquote(uri.removeprefix("file:")) if uri.startswith("file:") else uri


def scheme_of(place: str) -> str:
    """The scheme of a URI in lower case, `file` for a path."""
    scheme, separator, _ = place.partition(":")
    return "file" if not separator or "/" in scheme or len(scheme) == 1 else scheme.lower()


def is_remote(place: str) -> bool:
    """It lies outside this machine's files and this process's memory."""
    return scheme_of(place) in _REMOTE


def open_store(place: str | Path) -> Store:
    """A plain path, or a URI: `file:`, `memory:NAME` (shared by name inside this process), `s3://BUCKET/PREFIX`,
    `gs:` and `az:` likewise, `http:` and `https:` (read-only), `webhdfs://HOST:PORT/PATH`.

    UsageError for a place that is none; MissingExtra without the library; nothing is asked of a server yet.
    """
    text = str(place)
    scheme = scheme_of(text)
    if scheme in _REMOTE:
        return _open_remote(scheme, text)
    if scheme == "memory":
        name = text.partition(":")[2]
        return _memory_stores.setdefault(name, MemoryStore(name))
    if scheme != "file":
        raise UsageError(
            f"a place is a path or a URI with file:, memory:, {':, '.join(_REMOTE)}: (got {text!r}); check it."
        )
    return FileStore(
        Path(unquote(urlsplit(text).path)) if text.lower().startswith("file:") else Path(text).expanduser()
    )


def _open_remote(scheme: str, text: str) -> Store:
    if not text.partition(":")[2].startswith("//"):
        raise UsageError(f"a place in {scheme}: is written {scheme}://...; add the slashes.")
    module, function, extra = _REMOTE[scheme]
    try:
        opener = getattr(importlib.import_module(f"pileus.store.{module}"), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pileus"):
            raise
        raise MissingExtra(f"a {scheme}: place", error.name or "a library", extra) from error
    opened: Store = opener(f"{scheme}{text[len(scheme) :]}")
    return opened
