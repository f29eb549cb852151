"""Objects of a cloud store, or files of a web server, by obstore: what is the same wherever they lie.

put-if-absent and compare-and-swap are conditional requests of the service itself. A conditional write whose answer
is lost fails; it is not repeated, for its own first try could then be what it loses to. Messages are made of status
and error codes alone: what obstore tells may hold signatures and tokens.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from pileus.errors import AlreadyExists, NotFound, StoreError, VersionConflict
from pileus.store.ports import MAX_VALUE_BYTES, Abilities, Blob, checked_key, checked_parts, checked_prefix

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

T = TypeVar("T")
VersionField = Literal["e_tag", "version"]

MAX_RETRIES = 4
RETRIES: RetryConfig = {
    "max_retries": MAX_RETRIES,
    "retry_timeout": datetime.timedelta(seconds=60),
    "backoff": {
        "init_backoff": datetime.timedelta(seconds=0.1),
        "max_backoff": datetime.timedelta(seconds=5),
        "base": 2,
    },
}
"""Of answers 5xx, 429 and 408, of refused and of dropped connections."""

_CONNECT_S, _SILENCE_S, _REQUEST_S = 5, 30, 600
_PART_BYTES = 16 << 20
"""A plain put of more is sent in parts, several at a time; the value appears with the last."""
_PARTS_AT_ONCE = 4

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CAUSE = re.compile(r"HTTP error: ([\w ,-]{1,80})")
_BROKEN = "HTTP error: request or response body error"
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")


def client_options(*, allow_http: bool) -> ClientConfig:
    """Every wait has a deadline: to connect, between two pieces of an answer, and for a request as a whole."""
    return {
        "allow_http": allow_http,
        "connect_timeout": datetime.timedelta(seconds=_CONNECT_S),
        "read_timeout": datetime.timedelta(seconds=_SILENCE_S),
        "timeout": datetime.timedelta(seconds=_REQUEST_S),
        "user_agent": "pileus",
    }


class ObjectsStore:
    """One bucket and prefix. Safe for threads; a forked process must open its own."""

    abilities = Abilities()

    def __init__(self, client: ObjectStore, uri: str, version: VersionField = "e_tag") -> None:
        """`version` is the field of an object's description that a conditional write compares."""
        self._client = client
        self._uri = uri
        self._version = version

    @property
    def uri(self) -> str:
        return self._uri

    def get(self, key: str) -> Blob:
        with self._told(checked_key(key)):
            return _whole(lambda: self._get(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Neighbouring ranges are fetched by one request, several requests at a time."""
        wanted = [each for each in ranges if each[0] < each[1]]
        starts, stops = [start for start, _ in wanted], [stop for _, stop in wanted]
        with self._told(checked_key(key)):
            try:
                got = iter(_whole(lambda: self._get_ranges(key, starts, stops)) if wanted else [])
            except NotSupportedError:  # a web server that knows no ranges
                content = self.get(key).content
                return checked_parts([content[start:stop] for start, stop in ranges], ranges, f"{self._uri}/{key}")
        parts = [bytes(next(got)) if start < stop else b"" for start, stop in ranges]
        return checked_parts(parts, ranges, f"{self._uri}/{key}")

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        with self._told(checked_key(key)):
            body = bytes(content)
            if if_absent:
                written = obstore.put(self._client, key, body, mode="create", use_multipart=False)
            else:
                written = obstore.put(self._client, key, body, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
            return self._version_of(written)

    def swap(self, key: str, content: bytes, version: str) -> str:
        with self._told(checked_key(key)):
            try:
                written = obstore.put(self._client, key, content, mode=self._expected(version), use_multipart=False)
                return self._version_of(written)
            except PreconditionError:
                obstore.head(self._client, key)
                raise

    def list(self, prefix: str = "") -> list[str]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        with self._told(prefix):
            pages = obstore.list(self._client, folder or None, chunk_size=1000)
            keys = [found["path"] for page in pages for found in page]
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        with self._told(checked_key(key)), contextlib.suppress(FileNotFoundError, NotFoundError):
            obstore.delete(self._client, key)

    def _get(self, key: str) -> Blob:
        found = obstore.get(self._client, key)
        size = found.meta["size"]
        if size > MAX_VALUE_BYTES:
            raise StoreError(f"{self._uri}/{key} has {size} bytes; at most {MAX_VALUE_BYTES} can be read.")
        return Blob(bytes(found.bytes()), self._version_of(found.meta))

    def _get_ranges(self, key: str, starts: Sequence[int], stops: Sequence[int]) -> Sequence[obstore.Bytes]:
        return obstore.get_ranges(self._client, key, starts=starts, ends=stops)

    def _expected(self, version: str) -> UpdateVersion:
        return {"e_tag": version} if self._version == "e_tag" else {"version": version}

    def _version_of(self, described: ObjectMeta | PutResult) -> str:
        return described[self._version] or ""

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Say what the service's answer means for this store."""
        place = f"{self._uri}/{key}"
        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            if any(sign in str(error) for sign in _NO_BUCKET):
                raise StoreError(f"{_bucket(self._uri)} does not exist; create it or check its name.") from None
            raise NotFound(f"{place} does not exist.") from None
        except AlreadyExistsError:
            raise AlreadyExists(f"{place} exists already.") from None
        except PreconditionError:
            raise VersionConflict(f"{place} was changed by another writer.") from None
        except (BaseError, ValueError, OSError) as error:
            raise StoreError(f"cannot use {place}: {_reason(error)}") from None


def _whole(read: Callable[[], T]) -> T:
    """obstore tries requests again, but not one whose answer broke off in its midst."""
    for _ in range(MAX_RETRIES):
        try:
            return read()
        except GenericError as error:
            if _BROKEN not in str(error):
                raise
    return read()


def _reason(error: Exception) -> str:
    """Of codes alone, so that no secret can be in it."""
    text = str(error)
    status, code, cause = (
        found and found[1] for found in (_STATUS.search(text), _CODE.search(text), _CAUSE.search(text))
    )
    if any(sign in text for sign in _NO_BUCKET):
        return "there is no such bucket; create it or check its name."
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or status in ("401", "403"):
        return f"permission denied ({code or status or 'no status'}); check the credentials and their rights."
    if status is not None:
        return f"the service answered {status}{f' ({code})' if code else ''}."
    if cause is not None:
        return f"no whole answer after {MAX_RETRIES} retries ({cause}); check the network and the endpoint."
    return f"{type(error).__name__}, which names no status; check the address and the credentials."


def _bucket(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
