"""Read what a web server gives out: `http:` and `https:`, by ranges where the server knows them.

Read-only and without a listing. Redirects are followed within http and https, from https only to https.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import HTTPStore

from pileus.errors import StoreError, UsageError
from pileus.spec.values import digest
from pileus.store.objects import RETRIES, ObjectsStore, client_options
from pileus.store.ports import Abilities, Blob


class WebStore:
    """Everything below one URL. A value's version is the hash of its content."""

    abilities = Abilities(write=False, swap=False, list=False, ranges=False)

    def __init__(self, objects: ObjectsStore) -> None:
        self._objects = objects

    @property
    def uri(self) -> str:
        return self._objects.uri

    def get(self, key: str) -> Blob:
        content = self._objects.get(key).content
        return Blob(content, digest(content))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._objects.get_ranges(key, ranges)

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        self._refuse("written to")

    def swap(self, key: str, content: bytes, version: str) -> str:
        self._refuse("written to")

    def list(self, prefix: str = "") -> list[str]:
        self._refuse("listed")

    def delete(self, key: str) -> None:
        self._refuse("written to")

    def _refuse(self, what: str) -> NoReturn:
        raise StoreError(f"a web server cannot be {what} (got {self.uri}); use a path, s3:, gs:, az: or webhdfs:.")


def open_web(uri: str) -> WebStore:
    """UsageError for a URL with a user, a password or a query, which is not repeated: it may be a secret."""
    url = urlsplit(uri)
    if url.username or url.password or url.query or url.fragment:
        raise UsageError("a web place is http(s)://HOST/PATH without user, password and query; remove them.")
    try:
        host = url.hostname and url.port != 0
    except ValueError:
        host = False
    if not host:
        raise UsageError(f"a web place is http(s)://HOST[:PORT]/PATH (got {uri!r}); check it.")
    place = uri.rstrip("/")
    try:
        client = HTTPStore(place, client_options=client_options(allow_http=url.scheme == "http"), retry_config=RETRIES)
    except (BaseError, ValueError) as error:
        raise UsageError(f"{place} cannot be opened ({type(error).__name__}); check the URL.") from None
    return WebStore(ObjectsStore(client, place))
