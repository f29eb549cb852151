"""HDFS over its web protocol, by urllib3.

fsspec's client is not used: it sets no deadline, takes a rename that the NameNode refused for done, and does not look
at the DataNode's answer (docs/decisions/0009-stores-by-obstore-and-urllib3.md).

A value is written aside and renamed, which the NameNode does in one step; with the option NONE the rename refuses what
exists, and that is put-if-absent. There is no compare-and-swap in the protocol, so there is none here.
"""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import time
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from pileus.errors import AlreadyExists, NotFound, StoreError, UsageError
from pileus.spec.values import Spec, digest
from pileus.store.ports import MAX_VALUE_BYTES, Abilities, Blob, checked_key, checked_parts, checked_prefix

_PORT = 9870
_CONNECT_S, _SILENCE_S = 5.0, 60.0
_RETRIES, _BACKOFF_S = 4, 0.1
_CONNECTIONS = 8
_MAX_ANSWER_BYTES = 256 << 20
"""Of the NameNode: listings are the longest."""
_NEAR_BYTES = 1 << 20
"""Ranges with a smaller gap between them are read as one."""
_NO_DATA_NODE = "Failed to find datanode"
"""What the NameNode says, as an IOException, while none of its DataNodes takes a block."""
_BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class WebHdfsStore:
    """One folder of a NameNode's file system. A value's version is the hash of its content. Safe for threads."""

    abilities = Abilities(swap=False)

    def __init__(self, address: str, root: str, user: str) -> None:
        """`address` is HOST:PORT of the NameNode's web server, `root` a path there: empty, or with a leading '/'."""
        self._client = _Client(address, user)
        self._root = root
        self._uri = f"webhdfs://{quote(user)}@{address}{quote(root)}"

    @property
    def uri(self) -> str:
        return self._uri

    def get(self, key: str) -> Blob:
        content = self._read(key, {})
        return Blob(content, digest(content))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        parts = [b""] * len(ranges)
        for start, stop, members in _coalesced(ranges):
            piece = self._read(key, {"offset": str(start), "length": str(stop - start)})
            for number in members:
                parts[number] = piece[ranges[number][0] - start : ranges[number][1] - start]
        return checked_parts(parts, ranges, self._place(key))

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        path, body = self._path(key), bytes(content)
        if if_absent and self._exists(key):
            raise AlreadyExists(f"{self._place(key)} exists already.")
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.tmp-{uuid.uuid4().hex}-{name}"
        try:
            self._told(key, "PUT", "CREATE", aside, {"overwrite": "true"}, body=body)
            self._rename(key, aside, path, replace=not if_absent)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._told(key, "DELETE", "DELETE", aside)
            raise
        return digest(body)

    def swap(self, key: str, content: bytes, version: str) -> str:
        if not self._exists(key):
            raise NotFound(f"{self._place(key)} does not exist.")
        raise StoreError(
            f"HDFS has no compare-and-swap (asked for at {self._place(key)}); use a folder, s3:, gs: or az: for this."
        )

    def list(self, prefix: str = "") -> list[str]:
        keys: list[str] = []
        folders = [checked_prefix(prefix).rpartition("/")[0]]
        while folders:
            folder = folders.pop()
            for entry in self._entries(folder):
                key = f"{folder}/{entry.pathSuffix}" if folder else entry.pathSuffix
                if entry.type == "DIRECTORY":
                    folders.append(key)
                elif not entry.pathSuffix.startswith(".tmp-"):
                    keys.append(key)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self._told(key, "DELETE", "DELETE", self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(key)}"

    def _place(self, key: str) -> str:
        return f"{self._uri}/{key}"

    def _exists(self, key: str) -> bool:
        try:
            self._told(key, "GET", "GETFILESTATUS", self._path(key))
        except NotFound:
            return False
        return True

    def _entries(self, folder: str) -> Sequence[_Entry]:
        """What lies directly in a folder; nothing where there is no such folder."""
        path = f"{self._root}/{folder}" if folder else self._root
        try:
            answer = self._told(folder, "GET", "LISTSTATUS", path)
        except NotFound:
            return []
        try:
            listed = msgspec.json.decode(answer, type=_Listing).FileStatuses.FileStatus
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self._uri} answers no listing of WebHDFS ({error}); check the address.") from error
        return [entry for entry in listed if entry.pathSuffix]

    def _read(self, key: str, part: dict[str, str]) -> bytes:
        return self._told(key, "GET", "OPEN", self._path(key), part)

    def _rename(self, key: str, aside: str, path: str, *, replace: bool) -> None:
        """Where an earlier try's answer was lost, the missing source shows that the try was heeded."""
        fields = {"destination": path, "renameoptions": "OVERWRITE" if replace else "NONE"}
        try:
            self._client.ask("PUT", "RENAME", aside, fields)
        except _Refusal as refusal:
            if refusal.kind != "FileNotFoundException" or not refusal.tried_before:
                raise self._error(key, refusal) from None
        except _Unreachable as error:
            raise self._error(key, error) from None

    def _told(
        self, key: str, method: str, operation: str, path: str, fields: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """Ask, and give a refusal as one of the store's errors."""
        try:
            return self._client.ask(method, operation, path, fields or {}, body)
        except (_Refusal, _Unreachable) as error:
            raise self._error(key, error) from None

    def _error(self, key: str, error: _Refusal | _Unreachable) -> StoreError:
        match error.kind:
            case "FileNotFoundException":
                return NotFound(f"{self._place(key)} does not exist.")
            case "FileAlreadyExistsException":
                return AlreadyExists(f"{self._place(key)} exists already.")
            case "AccessControlException" | "SecurityException":
                reason = "permission denied; set HADOOP_USER_NAME to a user who may, or choose another place."
            case "SafeModeException":
                reason = "the NameNode is in safe mode; wait until it has left it."
            case "DSQuotaExceededException" | "NSQuotaExceededException":
                reason = "the quota is used up; free space there or choose another place."
            case "unreachable":
                reason = (
                    f"no answer after {_RETRIES} retries ({error}); check the NameNode, its DataNodes and the network."
                )
            case _:
                reason = f"HDFS answered {error.kind}: {error}"
        return StoreError(f"cannot use {self._place(key)}: {reason}")


class _Entry(Spec, frozen=True, forbid_unknown_fields=False):
    pathSuffix: str
    type: str


class _Statuses(Spec, frozen=True, forbid_unknown_fields=False):
    FileStatus: list[_Entry]


class _Listing(Spec, frozen=True, forbid_unknown_fields=False):
    FileStatuses: _Statuses


class _RemoteException(Spec, frozen=True, forbid_unknown_fields=False):
    exception: str
    message: str


class _Complaint(Spec, frozen=True, forbid_unknown_fields=False):
    RemoteException: _RemoteException


class _Unreachable(Exception):  # noqa: N818 - named for the state
    """No whole answer came, or that of a server too busy to give one."""

    kind = "unreachable"


class _Refusal(Exception):  # noqa: N818 - an answer, which the store makes an error of
    """What HDFS said it would not do."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.tried_before = False
        """An earlier try of the same operation broke off, perhaps after it was heeded."""


class _Answer(NamedTuple):
    status: int
    location: str
    content: bytes


class _Client:
    """Operations of the protocol, each tried again as a whole: another DataNode may be named then."""

    def __init__(self, address: str, user: str) -> None:
        self._address = address
        self._user = user
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=_SILENCE_S)
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=timeout, retries=False)

    def ask(self, method: str, operation: str, path: str, fields: dict[str, str], body: bytes = b"") -> bytes:
        """The answer's content. Errors: _Refusal, _Unreachable."""
        for number in itertools.count():
            try:
                return self._once(method, operation, path, fields, body)
            except _Refusal as refusal:
                refusal.tried_before = number > 0
                raise
            except _Unreachable:
                if number == _RETRIES:
                    raise
            time.sleep(_BACKOFF_S * 2**number)
        raise AssertionError("the loop ends by an answer or an error")

    def _once(self, method: str, operation: str, path: str, fields: dict[str, str], body: bytes) -> bytes:
        """Ask the NameNode, then the DataNode to which it sends whoever reads or writes content."""
        query = urlencode({"op": operation, "user.name": self._user, **fields}, quote_via=quote)
        url = f"http://{self._address}/webhdfs/v1{quote(path or '/')}?{query}"
        answer = self._exchange(method, url, b"", _MAX_ANSWER_BYTES)
        if answer.status == HTTPStatus.TEMPORARY_REDIRECT:
            target = urljoin(url, answer.location)
            if urlsplit(target).scheme not in ("http", "https"):
                raise _Refusal("redirect", "the NameNode names a place that is none of the web")
            answer = self._exchange(method, target, body, MAX_VALUE_BYTES)
        if answer.status in _BUSY:
            raise _Unreachable(f"status {answer.status}")
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            refusal = _refusal(answer)
            raise _Unreachable(str(refusal)) if _NO_DATA_NODE in str(refusal) else refusal
        return answer.content

    def _exchange(self, method: str, url: str, body: bytes, most: int) -> _Answer:
        headers = {"Content-Type": "application/octet-stream"} if method == "PUT" else {}
        try:
            answer = self._pool.request(
                method, url, body=body or None, headers=headers, redirect=False, preload_content=False
            )
            try:
                content = answer.read(most + 1)
            except BaseException:
                answer.close()
                raise
            if len(content) > most:
                answer.close()
                raise _Refusal("too long", f"more than {most} bytes")
            answer.release_conn()
        except HTTPError as error:
            raise _Unreachable(type(error).__name__) from None
        return _Answer(answer.status, answer.headers.get("Location", ""), content)


def open_webhdfs(uri: str) -> WebHdfsStore:
    """`webhdfs://[USER@]HOST[:PORT]/PATH`; the user is else HADOOP_USER_NAME or this system's.

    UsageError for any other form.
    """
    url = urlsplit(uri)
    try:
        host, port = url.hostname, url.port or _PORT
    except ValueError:
        host, port = None, 0
    if not host or url.password or url.query or url.fragment:
        raise UsageError("a place in HDFS is webhdfs://[USER@]HOST[:PORT]/PATH without password and query; check it.")
    path = unquote(url.path).strip("/")
    if path:
        checked_key(path)
    user = unquote(url.username or "") or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
    name = f"[{host}]" if ":" in host else host
    return WebHdfsStore(f"{name}:{port}", f"/{path}" if path else "", user)


def _refusal(answer: _Answer) -> _Refusal:
    try:
        told = msgspec.json.decode(answer.content, type=_Complaint).RemoteException
    except msgspec.MsgspecError:
        return _Refusal(f"status {answer.status}", "this is no server of WebHDFS, perhaps; check the address")
    return _Refusal(told.exception, (told.message.splitlines() or [""])[0][:200])


def _coalesced(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """(start, stop, positions in `ranges`) of the reads that cover all of them; empty ranges need none."""
    reads: list[tuple[int, int, list[int]]] = []
    for number in sorted(range(len(ranges)), key=lambda each: ranges[each]):
        start, stop = ranges[number]
        if start >= stop:
            continue
        if reads and start - reads[-1][1] <= _NEAR_BYTES:
            before, until, members = reads[-1]
            reads[-1] = (before, max(until, stop), [*members, number])
        else:
            reads.append((start, stop, [number]))
    return reads
