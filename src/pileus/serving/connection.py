"""One HTTP/1.1 connection, by httptools' parser: requests in order, each answered by one write, all within bounds.

There is no task and no timer a request: the site is called back when a request is whole, answers now or later, and a
sweep over all connections ends those that are past their time.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import deque
from itertools import count
from typing import NamedTuple, Protocol, cast

import httptools

from pileus.serving.answers import ABANDONED, Answer, Refusal, written
from pileus.spec.values import Spec

_NEVER = float("inf")
_LINGER_S = 5.0
"""How long what a refused client still sends is read and dropped, so that it can read why."""
_CLAIMED_BYTES = 64 * 1024
"""Bodies above this, or of unknown length, and answers above it must have room in the site's memory."""
_FRAMING_BYTES = 128 * 1024
"""Of chunks and trailers, beside as much as the body itself has; more than a refused body, which is not kept."""
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Bounds(Spec, frozen=True, kw_only=True):
    """Of one connection. Past them it is refused or cut off."""

    head_bytes: int = 64 * 1024
    num_headers: int = 100
    head_s: float = 10.0
    """Seconds from the first byte of a head to its last, and to the first byte of the first head."""
    body_s: float = 15.0
    """Seconds from the head of a request to the last byte of its body."""
    idle_s: float = 30.0
    """Between two requests."""
    write_s: float = 15.0
    """Seconds that a client may take to read what fills its buffers."""
    pipelined: int = 64
    """Requests that wait for the one before; then nothing more is read. Four times as many end the connection."""


class Trace(Protocol):
    """What a request is part of for others than this server."""

    @property
    def id(self) -> str: ...

    @property
    def line(self) -> bytes:
        """Of the answer's head, ended by CR LF."""
        ...


class Way(NamedTuple):
    """Of a question to its answer."""

    sent_at: float
    """To its predictor; by time.monotonic."""
    questions: int
    """Of its batch."""
    images: int
    compute_s: float
    """Of its batch."""
    predictor: int
    """The process."""


class Request:
    """From its head on; `body` is whole when the site's `begin` is called. `answer` is called once, also much later."""

    __slots__ = (
        "_connection", "body", "claimed", "close", "headers", "id", "method", "path", "plan", "query",
        "refusal", "started", "target", "trace", "way",
    )  # fmt: skip

    def __init__(self, connection: Connection, started: float) -> None:
        self._connection: Connection | None = connection
        self.started = started
        """By time.monotonic, as all times here: a loop's own clock may be coarse."""
        self.method = self.path = self.query = b""
        self.headers: dict[bytes, bytes] = {}
        """Names in lower case; of one that is repeated all values, with commas between them."""
        self.body: bytes | bytearray = b""
        self.id = b""
        self.close = False
        """The answer is the last of the connection."""
        self.refusal: Refusal | None = None
        """It is answered with this, and its body is dropped."""
        self.claimed = 0
        self.target: object = None
        """What the site has found at the path."""
        self.plan: object = None
        """What the site has made of the head."""
        self.way: Way | None = None
        """None where no predictor was asked, or has not answered."""
        self.trace: Trace | None = None

    @property
    def gone(self) -> bool:
        """Nobody waits for the answer any more."""
        return self._connection is None

    def answer(self, answer: Answer) -> None:
        if self._connection is not None:
            self._connection.respond(self, answer)

    def refuse(self, refusal: Refusal) -> None:
        if self._connection is not None:
            self._connection.respond(self, self._connection.site.told(self, refusal))

    def forget(self) -> None:
        self._connection = None


class Site(Protocol):
    """What answers requests."""

    closing: bool
    """Every answer is the last of its connection."""

    def joined(self, connection: Connection) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def check_head(self, request: Request) -> int:
        """The most bytes that the body may have. A Refusal is answered in place of reading it."""
        ...

    def claim(self, num_bytes: int) -> bool:
        """Whether there is room for so much of a body; `release` gives it back."""
        ...

    def release(self, num_bytes: int) -> None: ...

    def begin(self, request: Request) -> None:
        """Raises nothing."""
        ...

    def told(self, request: Request, refusal: Refusal) -> Answer: ...

    def answered(self, request: Request, status: int, now: float) -> None:
        """Called once the answer is on its way, or with ABANDONED where its client has gone before that."""
        ...


class _Ids:
    """No two alike: chance by process, then a count."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[bytes, count[int]]] = {}

    def next(self) -> bytes:
        process = os.getpid()
        if process not in self._counts:
            self._counts = {process: (os.urandom(8).hex().encode(), count(1))}
        prefix, counter = self._counts[process]
        return b"%b-%x" % (prefix, next(counter))


_ids = _Ids()


class _Enough(Exception):  # noqa: N818 - not a failure: stops the parser, never seen outside
    """Nothing more is read of this connection."""


class Connection(asyncio.Protocol):
    """`sweep` must be called now and then."""

    def __init__(self, site: Site, bounds: Bounds) -> None:
        self.site, self._bounds = site, bounds
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._reading: Request | None = None
        """Its head or body is not whole."""
        self._current: Request | None = None
        """The site has it."""
        self._waiting: deque[Request] = deque()
        """Whole, behind the current one."""
        self._in_head = self._head_is_split = False
        self._head_bytes = self._segment_bytes = self._num_headers = 0
        self._framing_bytes = 0
        """Of a body, what is not the body itself."""
        self._most_bytes = 0
        self._deaf = False
        """What still comes is dropped: the last request is known."""
        self._heard_all = False
        """The client has closed its side."""
        self._lingering = False
        """The last answer is written; the client may not have sent all."""
        self._writing_bytes = 0
        """Claimed for an answer that the client has yet to read."""
        self._advancing = self._write_paused = self._read_paused = False
        self._due = _NEVER

    # called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._due = time.monotonic() + self._bounds.head_s
        self.site.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._release_written()
        now = time.monotonic()
        for request in (self._reading, self._current, *self._waiting):
            if request is not None:
                self._let_go(request)
                if request is not self._reading:
                    self.site.answered(request, ABANDONED, now)
        self._reading = self._current = None
        self._waiting.clear()
        self.site.left(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        reading, in_head = self._reading, self._in_head
        self._segment_bytes = len(data)
        body_bytes = 0 if reading is None else len(reading.body)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # no protocol but this one is spoken
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._cut(Refusal(400, f"this is no HTTP/1.1 request: {error}."))
        if self._reading is None:
            return
        if self._reading is not reading or self._in_head is not in_head:
            self._head_is_split = self._in_head
            self._watch()
        elif in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.head_bytes:
                self._cut(self._too_great_a_head())
        else:
            self._framing_bytes += len(data) + body_bytes - len(self._reading.body)
            if self._framing_bytes > _FRAMING_BYTES + len(self._reading.body):
                self._cut(Refusal(400, "the chunks and trailers of this body are longer than it; send greater chunks."))

    def eof_received(self) -> bool:
        """A client that has said all may still listen: True keeps the connection for that."""
        self._deaf = self._heard_all = True
        return not self._lingering and (self._current is not None or bool(self._waiting))

    def pause_writing(self) -> None:
        self._write_paused = True
        self._adjust_reading()
        self._watch()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._release_written()
        self._advance()
        self._watch()

    # called by the parser

    def on_message_begin(self) -> None:
        if self._deaf:
            raise _Enough
        self._reading = Request(self, time.monotonic())
        self._in_head, self._head_is_split = True, False
        self._head_bytes = self._num_headers = self._framing_bytes = 0

    def on_url(self, url: bytes) -> None:
        assert self._reading is not None
        self._reading.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._reading
        if request is None or not self._in_head:  # a trailer, which follows the last chunk, comes too late for anything
            return
        self._num_headers += 1
        if self._num_headers > self._bounds.num_headers:
            self._cut(self._too_great_a_head())
            raise _Enough
        name = name.lower()
        former = request.headers.get(name)
        request.headers[name] = value if former is None else b"%b, %b" % (former, value)

    def on_headers_complete(self) -> None:
        request = self._reading
        assert request is not None
        self._in_head = False
        request.method = self._parser.get_method()
        request.close = not self._parser.should_keep_alive() or self._parser.should_upgrade()
        request.path, _, request.query = request.path.partition(b"?")
        given = request.headers.get(b"x-request-id")
        request.id = given if given is not None and _GIVEN_ID.fullmatch(given) else _ids.next()
        if self._is_too_great(request):
            self._cut(self._too_great_a_head())
            return
        try:
            self._most_bytes = self.site.check_head(request)
            self._check_length(request)
        except Refusal as refusal:
            self._refuse(request, refusal)
            return
        if b"expect" in request.headers and self._current is None and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        request = self._reading
        if request is None:
            raise _Enough
        if request.refusal is not None:
            return
        if len(request.body) + len(body) > self._most_bytes:
            self._refuse(request, self._too_great_a_body())
        elif not request.body:
            request.body = body
        else:
            if isinstance(request.body, bytes):
                request.body = bytearray(request.body)
            request.body += body

    def on_message_complete(self) -> None:
        request, self._reading = self._reading, None
        if request is None:
            raise _Enough
        if self._current is None and not self._waiting and not self._write_paused:
            self._take(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= 4 * self._bounds.pipelined:
            request.close = self._deaf = True
        self._adjust_reading()

    # called by the site

    def respond(self, request: Request, answer: Answer) -> None:
        transport = self._transport
        assert transport is not None and request is self._current
        self._current = None
        last = request.close
        if (self.site.closing or self._deaf) and not self._waiting and self._reading is None:
            last = True
        has_body = request.method != b"HEAD" and answer.status != 304
        if has_body and len(answer.body) > _CLAIMED_BYTES:
            answer = self._claimed(request, answer)
        if request.trace is not None:
            answer = answer._replace(own_lines=answer.own_lines + request.trace.line)
        transport.write(written(answer, request.id, body=has_body, close=last))
        self._let_go(request)
        if not self._write_paused:
            self._release_written()
        self.site.answered(request, answer.status, time.monotonic())
        if last:
            self._end(transport)
        else:
            self._advance()
        self._watch()

    def sweep(self, now: float) -> None:
        """End what is past its time."""
        if now < self._due or self._transport is None:
            return
        if self._reading is None or self._in_head or self._write_paused or self._deaf:
            self._transport.abort()
        else:
            self._cut(Refusal(408, f"a body must arrive within {self._bounds.body_s:g} seconds; send it again."))

    def hang_up(self) -> None:
        """Close, unless something is being asked or answered."""
        if self._transport is not None and self._current is None and self._reading is None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # within

    def _take(self, request: Request) -> None:
        self._current = request
        self._due = _NEVER
        if request.refusal is None:
            self.site.begin(request)
        else:
            self.respond(request, self.site.told(request, request.refusal))

    def _advance(self) -> None:
        """Take what waits, as far as it can be answered; not recursive, however many are answered at once."""
        if self._advancing:
            return
        self._advancing = True
        while self._waiting and self._current is None and not self._write_paused:
            self._take(self._waiting.popleft())
        self._advancing = False
        self._adjust_reading()

    def _adjust_reading(self) -> None:
        pause = self._write_paused or len(self._waiting) >= self._bounds.pipelined
        if pause != self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = pause
            (self._transport.pause_reading if pause else self._transport.resume_reading)()

    def _watch(self) -> None:
        """Set by when what is awaited must have come."""
        now, bounds = time.monotonic(), self._bounds
        if self._write_paused:
            self._due = now + bounds.write_s
        elif self._lingering:
            self._due = now + _LINGER_S
        elif self._reading is not None:
            self._due = now + (bounds.head_s if self._in_head else bounds.body_s)
        elif self._current is None:
            self._due = now + bounds.idle_s
        else:
            self._due = _NEVER

    def _check_length(self, request: Request) -> None:
        headers = request.headers
        if b"transfer-encoding" in headers:
            self._check_coding(headers[b"transfer-encoding"])
        declared = headers.get(b"content-length")
        if declared is None and b"transfer-encoding" not in headers:
            if self._most_bytes and request.method in (b"POST", b"PUT"):
                raise Refusal(411, "a request with a body needs Content-Length or chunked Transfer-Encoding.")
            return
        if self._parser.should_upgrade():
            raise Refusal(400, "with a body no other protocol can be asked for; leave Upgrade out.")
        num_bytes = self._most_bytes if declared is None else int(declared)
        if num_bytes > self._most_bytes:
            raise self._too_great_a_body()
        if num_bytes > _CLAIMED_BYTES:
            if not self.site.claim(num_bytes):
                raise _full("bodies")
            request.claimed = num_bytes
        if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            raise Refusal(417, "of Expect only 100-continue is known; leave it out.")

    def _check_coding(self, coding: bytes) -> None:
        """Who does not know it, or knows no chunks, sees the body end elsewhere (RFC 9112, section 6.1)."""
        if coding.lower() != b"chunked" or self._parser.get_http_version() != "1.1":
            raise Refusal(400, "of Transfer-Encoding only chunked is known, and by HTTP/1.1; send Content-Length.")

    def _is_too_great(self, request: Request) -> bool:
        """Measured where it may be: what comes with the first piece of a head is not counted while it comes."""
        if not self._head_is_split and self._segment_bytes <= self._bounds.head_bytes:
            return False
        fields = sum(len(name) + len(value) for name, value in request.headers.items())
        return len(request.path) + len(request.query) + fields > self._bounds.head_bytes

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        """A short body is read over, so that the connection can be kept; a long or endless one ends it."""
        request.refusal = refusal
        request.body = b""
        declared = request.headers.get(b"content-length", b"0")
        endless = b"transfer-encoding" in request.headers or int(declared) > _CLAIMED_BYTES
        if endless or b"expect" in request.headers:
            self._cut(refusal)

    def _cut(self, refusal: Refusal) -> None:
        """Answer what is being read with this, after all before it; nothing more is read."""
        request = self._reading or Request(self, time.monotonic())
        request.refusal, request.body, request.close = refusal, b"", True
        request.id = request.id or _ids.next()
        self._reading, self._in_head, self._deaf = None, False, True
        self._waiting.append(request)
        self._advance()

    def _end(self, transport: asyncio.Transport) -> None:
        """After the last answer. What a client still sends would reset the connection, and the answer with it."""
        if self._deaf and not self._heard_all and transport.can_write_eof():
            self._lingering = True
            transport.write_eof()
        else:
            transport.close()

    def _let_go(self, request: Request) -> None:
        request.forget()
        if request.claimed:
            self.site.release(request.claimed)
            request.claimed = 0

    def _claimed(self, request: Request, answer: Answer) -> Answer:
        """A great answer, where there is room for it until it is read."""
        if not self.site.claim(len(answer.body)):
            return self.site.told(request, _full("answers"))
        self._writing_bytes += len(answer.body)
        return answer

    def _release_written(self) -> None:
        if self._writing_bytes:
            self.site.release(self._writing_bytes)
            self._writing_bytes = 0

    def _too_great_a_head(self) -> Refusal:
        bounds = self._bounds
        return Refusal(
            431, f"a head may have at most {bounds.head_bytes} bytes and {bounds.num_headers} headers; send less."
        )

    def _too_great_a_body(self) -> Refusal:
        return Refusal(413, f"this body may have at most {self._most_bytes} bytes; send a smaller one.")


def _full(what: str) -> Refusal:
    return Refusal(429, f"too many great {what} are under way; try again later.", retry_after_s=1.0)
