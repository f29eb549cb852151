"""HTTP/1.1 as one who sends the same few requests needs it: heads made beforehand, answers read with little work."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_ANSWER_BYTES = 1 << 20
ID_BYTES = 16
"""Of a request's id: hexadecimal digits."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: *(\d{1,6})\r\n", re.IGNORECASE)


class Unreadable(Exception):  # noqa: N818 - named for what is seen
    """No HTTP answer of a kind that is read here."""


class Answer(NamedTuple):
    status: int
    body: bytes
    size: int
    """Bytes with its head."""
    closes: bool
    """The server will close the connection."""
    retry_after_s: float | None


class Prepared(NamedTuple):
    """A request around its id."""

    before: bytes
    after: bytes

    def named(self, number: int) -> tuple[bytes, bytes]:
        """The whole request and its id."""
        name = b"%016x" % number
        return self.before + name + self.after, name


def prepare(host: str, path: str, media_type: str, body: bytes) -> Prepared:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return Prepared(f"{head}X-Request-ID: ".encode(), b"\r\n\r\n" + body)


def read_answer(data: bytes) -> Answer | None:
    """The first whole answer in `data`; None where it is not whole yet. Unreadable."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MOST_ANSWER_BYTES or not data.startswith(b"HTTP/1."[: len(data)]):
            raise Unreadable("no head of an answer")
        return None
    start, seen = end + 4, end + 2
    if (found := _LENGTH.search(data, 0, seen)) is not None:
        size = start + int(found[1])
        if size > MOST_ANSWER_BYTES:
            raise Unreadable(f"an answer of {size} bytes")
        if len(data) < size:
            return None
        body = data[start:size]
    elif _CHUNKED.search(data, 0, seen):
        whole = _joined(data, start)
        if whole is None:
            return None
        body, size = whole
    else:
        raise Unreadable("an answer without its length")
    retry = _RETRY.search(data, 0, seen) if data[9:12] in (b"429", b"503") else None
    closes = _CLOSE.search(data, 0, seen) is not None
    return Answer(_status(data), body, size, closes, None if retry is None else float(retry[1]))


def _status(data: bytes) -> int:
    digits = data[9:12]
    if not data.startswith(b"HTTP/1.") or not digits.isdigit():
        raise Unreadable("no status")
    return int(digits)


def _joined(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The chunks from `start` on and where they end, without trailers; None where the last has not come."""
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", start)) >= 0:
        try:
            size = int(data[start:line].partition(b";")[0], 16)
        except ValueError as error:
            raise Unreadable("a chunk without its length") from error
        start = line + 2 + size + 2
        if size < 0 or start > MOST_ANSWER_BYTES:
            raise Unreadable("a chunk that is too long")
        if len(data) < start:
            return None
        if size == 0:
            return b"".join(parts), start
        parts.append(data[line + 2 : start - 2])
    return None
