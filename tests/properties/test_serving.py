"""Whatever bytes come, a server answers by the rules of HTTP, never with 500, and goes on answering others."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pileus.bundles import load
from pileus.serving.server import ServeOptions, running
from tests.unit.serving.conftest import bundle_folder  # noqa: F401 - a fixture
from tests.unit.serving.sockets import LIVE, Answers, asked, everything, posted

REFUSALS = {400, 404, 405, 408, 411, 413, 415, 417, 422, 431}
QUICK = settings(
    max_examples=int(os.environ.get("PILEUS_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

TOKENS = st.sampled_from(
    [
        b"GET ", b"POST ", b"HEAD ", b"/livez", b"/v1/predict", b"/v1/predict?segment=none", b"?model=%ff",
        b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\n", b"Host: x", b"Content-Length: 784",
        b"Content-Length: 3", b": ",
        b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade",
        b"Upgrade: h2c", b"Content-Type: application/json", b"Content-Type: application/octet-stream",
        b"X-Deadline-Ms: 1", b"3\r\nabc\r\n", b"0\r\n\r\n", b'{"strokes": [[[1, 2]]]}', LIVE, b"\x00", b"\xff",
    ]
)  # fmt: skip

POINTS = st.lists(st.lists(st.one_of(st.floats(width=32), st.integers(), st.just(1e308)), max_size=4), max_size=6)
STROKES = st.one_of(
    st.lists(POINTS, max_size=5),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), st.lists, max_leaves=8),
)


@pytest.fixture(scope="module")
def server(bundle_folder: Path) -> Iterator[str]:  # noqa: F811
    with running(load(bundle_folder), ServeOptions(port=0)) as url:
        yield url


def answered(url: str, pieces: list[bytes]) -> Answers:
    address = urlsplit(url)
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was hung up on, as it deserved; what was answered before can be read
        return Answers().feed(everything(connection))


@QUICK
@given(pieces=st.lists(st.one_of(st.binary(max_size=40), st.lists(TOKENS, max_size=12).map(b"".join)), max_size=4))
def test_any_bytes_are_answered_by_the_rules_and_never_with_500(server: str, pieces: list[bytes]) -> None:
    answers = answered(server, [piece for piece in pieces if piece])
    assert set(answers.statuses) <= REFUSALS | {100, 200, 504}
    assert asked(server, LIVE).statuses == [200]


@QUICK
@given(value=STROKES, whole=st.booleans())
def test_any_strokes_are_answered_or_refused(server: str, value: object, whole: bool) -> None:
    body = json.dumps({"strokes": value}).encode()
    path = b"/v1/predict?segment=none" if whole else b"/v1/predict"
    request = posted(body, path=path).replace(b"application/octet-stream", b"application/json")
    assert asked(server, request).statuses[0] in {200, 400, 413, 422}


@QUICK
@given(cuts=st.lists(st.integers(1, 900), max_size=8), count=st.integers(1, 4))
def test_requests_may_be_cut_anywhere(server: str, cuts: list[int], count: int) -> None:
    stream = b"".join([posted(bytes(784)), LIVE] * count)
    pieces, at = [], 0
    for length in cuts:
        pieces.append(stream[at : at + length])
        at += length
    pieces.append(stream[at:])
    answers = answered(server, [piece for piece in pieces if piece])
    assert answers.statuses == [200] * (2 * count)
