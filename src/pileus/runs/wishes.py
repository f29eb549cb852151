"""What a person wishes of a run under way: a document in its directory that its controller looks for."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from pileus.errors import NotFound
from pileus.spec.values import Spec, canonical_json
from pileus.store import Store

_KEY = "resize.json"


class Resize(Spec, frozen=True, kw_only=True):
    workers: Annotated[int, Meta(ge=1)]
    word: str
    """Random: tells a wish from the same one that is uttered again."""


def wish_workers(store: Store, workers: int) -> None:
    """Have the run go on with so many workers; a later wish replaces one that was not yet heard."""
    store.put(_KEY, canonical_json(Resize(workers=workers, word=secrets.token_hex(8))))


class Wishes:
    """The controller's ear: wishes that were uttered before it began to listen do not count."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard = self._read()

    def heard(self) -> int | None:
        """The number of workers that is wished now; None where there is no new wish, or none that can be read."""
        content = self._read()
        if content in (None, self._heard):
            return None
        self._heard = content
        try:
            return msgspec.json.decode(content, type=Resize).workers
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _read(self) -> bytes | None:
        try:
            return self._store.get(_KEY).content
        except NotFound:
            return None
