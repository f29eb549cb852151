"""The place that is served, read and verified by a thread of its own: a slow store holds up nobody.

A registry is looked at every few seconds, and what it says is read when that has changed; a run or a bundle is read
again when somebody asks. What cannot be read is told once for each time that it was tried, at growing intervals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pileus.bundles import Manifest
from pileus.bundles.load import Whole, read_bundle, read_whole
from pileus.bundles.manifest import MODEL_FILE
from pileus.bundles.registry import check_comparable
from pileus.bundles.roles import Roles, folder_of, read_roles
from pileus.errors import PileusError
from pileus.store import Store, open_store

_log = logging.getLogger(__name__)

LOOK_S = 1.0
_MOST_S = 60.0
"""Between two tries of what cannot be read."""
_END_S = 1.0
_OUT_OF_REACH = "out of reach"


class Content(NamedTuple):
    """A bundle that was read and verified once, so that all processes have the same."""

    manifest: Manifest
    onnx: bytes
    written: bytes
    """The manifest's file."""


class Found(NamedTuple):
    """What a place has to be served."""

    production: Content
    shadow: Content | None = None
    registry: str | None = None
    """Its URI, where the place is one."""


class _Marks(NamedTuple):
    """What of a registry is served: when these change, it is read again."""

    production: str | None
    shadow: str | None


def _read(store: Store) -> tuple[Found, _Marks | None]:
    found = read_roles(store)
    if found is None or found[0].production is None:
        return Found(_content(read_whole(store))), None
    roles = found[0]
    assert roles.production is not None
    production = _content(read_bundle(store, folder_of(roles.production)))
    return Found(production, _shadow(store, roles, production.manifest), store.uri), _marks(roles)


def _shadow(store: Store, roles: Roles, production: Manifest) -> Content | None:
    if roles.shadow is None:
        return None
    try:
        shadow = _content(read_bundle(store, folder_of(roles.shadow)))
        check_comparable(production, shadow.manifest)
    except PileusError as error:
        _log.error("the shadow is left out: %s", error)
        return None
    return shadow


def _content(whole: Whole) -> Content:
    return Content(whole.manifest, whole.files[MODEL_FILE], whole.written)


def _marks(roles: Roles) -> _Marks:
    return _Marks(roles.production, roles.shadow)


class Watcher:
    """Between `start` and `stop`; all but its thread is for the one that made it."""

    def __init__(self, place: str, look_s: float = LOOK_S) -> None:
        self.place = place
        self.news: deque[Found | PileusError] = deque()
        self._store, self._look_s = open_store(place), look_s
        self._wake: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._asked = self._stopped = False
        self._known: _Marks | None = None
        self._failed: _Marks | str | None = ""
        """What could not be read at the last try; empty where it could."""
        self._again_s = self._again_at = 0.0
        self._is_registry = False
        self._thread = threading.Thread(target=self._watch, name="pileus-watcher", daemon=True)

    def read_first(self) -> Found:
        """At once. UsageError where there is no bundle, Damaged where production is; a shadow that is, is left out."""
        found, self._known = _read(self._store)
        self._is_registry = found.registry is not None
        return found

    def start(self, wake: Callable[[], None]) -> None:
        """`wake` is called by the thread when there is something in `news`."""
        self._wake = wake
        self._thread.start()

    def look(self) -> None:
        """Read again, whether something has changed or not."""
        with self._changed:
            self._asked = True
            self._changed.notify()

    def stop(self) -> None:
        """A read that is under way is not waited for long."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def _watch(self) -> None:
        while True:
            with self._changed:
                wait_s = self._look_s if self._is_registry else None
                self._changed.wait_for(lambda: self._asked or self._stopped, wait_s)
                if self._stopped:
                    return
                asked, self._asked = self._asked, False
            self._look(asked=asked)

    def _look(self, *, asked: bool) -> None:
        """`asked`: also where nothing has changed, and what could not be read before."""
        seen: _Marks | str | None = _OUT_OF_REACH
        news: Found | PileusError
        try:
            roles = read_roles(self._store)
            seen = _marks(roles[0]) if roles else None
            if not asked and (seen == self._known or self._is_too_early(seen)):
                return
            news, self._known = _read(self._store)
        except PileusError as error:
            if not asked and self._is_too_early(seen):
                return
            self._again_s = min(2 * self._again_s, _MOST_S) if seen == self._failed else 2 * self._look_s
            self._failed, self._again_at = seen, time.monotonic() + self._again_s
            news = error
        else:
            self._failed, self._is_registry = "", news.registry is not None
        self.news.append(news)
        self._wake()

    def _is_too_early(self, seen: _Marks | str | None) -> bool:
        """For another try of what has failed."""
        return seen == self._failed and time.monotonic() < self._again_at
