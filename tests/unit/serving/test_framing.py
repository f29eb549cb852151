"""Requests whose end another server could see elsewhere: refused, and what follows is never taken for a request."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.bundles import load
from pileus.serving.answers import JSON, Answer, Refusal
from pileus.serving.connection import Bounds, Connection, Request
from pileus.serving.server import ServeOptions, running
from tests.unit.serving.sockets import LIVE, Answers, asked, connected, posted

IN_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LIVE), LIVE)
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(LIVE)


class Wire(asyncio.Transport):
    """One connection without a socket, so that it is known which bytes come together; each request is answered at once.

    It is the site, too.
    """

    closing = False

    def __init__(self) -> None:
        super().__init__()
        self._sent = b""
        self.connection = Connection(self, Bounds())
        self.connection.connection_made(self)

    def statuses(self) -> list[int]:
        return Answers().feed(self._sent).statuses

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._sent += data

    def close(self) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def joined(self, connection: Connection) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def check_head(self, request: Request) -> int:
        return 0

    def claim(self, num_bytes: int) -> bool:
        return True

    def release(self, num_bytes: int) -> None: ...

    def begin(self, request: Request) -> None:
        request.answer(Answer(200, JSON, b"{}"))

    def told(self, request: Request, refusal: Refusal) -> Answer:
        return refusal.answer(request.id.decode())

    def answered(self, request: Request, status: int, now: float) -> None: ...


@pytest.fixture(scope="module")
def server(bundle_folder: Path) -> Iterator[str]:
    with running(load(bundle_folder), ServeOptions(port=0)) as url:
        yield url


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([b"Content-Length: 4", CHUNKED], b"0\r\n\r\n" + LIVE),
        ([CHUNKED, LENGTH], b"0\r\n\r\n" + LIVE),
        ([b"Content-Length: 0", LENGTH], LIVE),
        ([LENGTH, LENGTH], LIVE),
        ([b"%b, %d" % (LENGTH, len(LIVE))], LIVE),
        ([b"Content-Length: +%d" % len(LIVE)], LIVE),
        ([b"Content-Length: -1"], LIVE),
        ([b"Content-Length: 0x20"], LIVE),
        ([b"Content-Length:"], LIVE),
        ([b"Content-Length: 3 1"], LIVE),
        ([b"Content-Length : %d" % len(LIVE)], LIVE),
        ([b"Content-Length: 99999999999999999999999"], LIVE),
        ([b"Transfer-Encoding : chunked"], IN_CHUNKS),
        ([b"Transfer-Encoding: identity"], LIVE),
        ([b"Transfer-Encoding: gzip"], LIVE),
        ([b"Transfer-Encoding: gzip, chunked"], IN_CHUNKS),
        ([b"Transfer-Encoding: chunked, identity"], IN_CHUNKS),
        ([b"Transfer-Encoding: chunked, chunked"], IN_CHUNKS),
        ([b"Transfer-Encoding: xchunked"], IN_CHUNKS),
        ([b"Transfer-Encoding: chunked x"], IN_CHUNKS),
        ([b"Transfer-Encoding: \x0bchunked"], IN_CHUNKS),
        ([b'Transfer-Encoding: "chunked"'], IN_CHUNKS),
        ([b"Transfer-Encoding:"], IN_CHUNKS),
        ([CHUNKED, b"Transfer-Encoding: identity"], IN_CHUNKS),
        ([b"Transfer-Encoding: identity", CHUNKED], IN_CHUNKS),
        ([b"Transfer-Encoding:\r\n chunked"], IN_CHUNKS),
        ([b"X: a\n" + LENGTH], LIVE),
        ([b"X: a\r" + LENGTH], LIVE),
        ([b"X: a\r\n " + LENGTH], LIVE),
        ([b"X: a\x00", LENGTH], LIVE),
        ([CHUNKED], IN_CHUNKS.replace(b"\r\nGET", b"\nGET", 1)),
        ([CHUNKED], b"0x" + IN_CHUNKS),
        ([CHUNKED], b"-1\r\n" + LIVE),
        ([CHUNKED], IN_CHUNKS.replace(b"\r\n", b" \r\n", 1)),
        ([CHUNKED], IN_CHUNKS.replace(b"\r\n", b";a=\nb\r\n", 1)),
        ([CHUNKED], b"fffffffffffffffffff\r\n" + LIVE),
        ([CHUNKED], b"5\r\nabcdefg\r\n0\r\n\r\n" + LIVE),
        ([CHUNKED], b"3\r\nabc\r\n0\r\nContent-Length: 30\r\n\r\n" + LIVE),
        ([LENGTH, b"Connection: upgrade", b"Upgrade: h2c"], LIVE),
    ],
)
def test_a_doubtful_end_ends_the_connection(server: str, headers: list[bytes], body: bytes) -> None:
    answers = asked(server, posted(body, *headers) + LIVE)
    assert answers.statuses == [400]
    assert answers.headers[0][b"connection"] == b"close"
    assert asked(server, LIVE).statuses == [200]


def test_chunks_are_of_http_1_1(server: str) -> None:
    request = posted(IN_CHUNKS, CHUNKED, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert asked(server, request + LIVE).statuses == [400]


@pytest.mark.parametrize(
    "request_bytes",
    [
        LIVE.replace(b"Host", b"X: " + b"a" * 200_000 + b"\r\nHost"),
        LIVE.replace(b"Host", b"X: a\r\n" * 200 + b"Host"),
        LIVE.replace(b"/livez", b"/" + b"a" * 100_000),
        LIVE.replace(b"/livez", b"/livez?" + b"a" * 100_000),
    ],
)
def test_a_great_head_is_refused_also_when_it_comes_at_once(server: str, request_bytes: bytes) -> None:
    assert asked(server, request_bytes + LIVE).statuses == [431]


@pytest.mark.parametrize("first", [1, 50, 60_000, 120_000, 159_000])
@pytest.mark.parametrize("before", [b"", LIVE])
def test_a_great_head_is_refused_wherever_it_is_cut(first: int, before: bytes) -> None:
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1900) for number in range(84))
    request = LIVE.replace(b"Host", lines + b"Host")
    wire = Wire()
    for piece in (before + request[:first], request[first:-10], request[-10:]):
        wire.connection.data_received(piece)
    assert wire.statuses() == [*([200] if before else []), 431]


def test_a_small_head_behind_many_requests_is_none_that_is_too_great() -> None:
    wire = Wire()
    wire.connection.data_received(LIVE * 3000 + LIVE[:10])
    wire.connection.data_received(LIVE[10:])
    assert set(wire.statuses()) == {200} and len(wire.statuses()) == 3001


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"3;", b"3\r\nabc\r\n0\r\nX: "])
def test_endless_trailers_and_chunk_extensions_are_cut_off(server: str, begun: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(posted(begun, CHUNKED))
        sent = 0
        while not select.select([connection], [], [], 0)[0]:
            connection.sendall(b"a" * 65536)
            sent += 65536
            assert sent < 32 * 1024 * 1024, "the server goes on reading"
        assert Answers().read(connection, 1).statuses == [400]


def test_trailers_change_nothing(server: str) -> None:
    body = b"310\r\n%b\r\n0\r\nX-Request-Id: other\r\nAuthorization: none\r\n\r\n" % bytes(784)
    assert asked(server, posted(body, CHUNKED, b"X-Request-Id: mine")).headers[0][b"x-request-id"] == b"mine"


def test_small_chunks_are_a_body_all_the_same(server: str) -> None:
    body = b"".join(b"10\r\n%b\r\n" % bytes(16) for _ in range(49)) + b"0\r\n\r\n"
    assert asked(server, posted(body, CHUNKED) + LIVE).statuses == [200, 200]


def test_a_header_that_is_repeated_is_not_one_of_them(server: str) -> None:
    twice = posted(bytes(784), b"X-Deadline-Ms: 1000", b"X-Deadline-Ms: 2000")
    assert asked(server, twice).statuses == [400]
