"""Whatever bytes come, a server answers by the rules of HTTP, never with 500, and goes on answering others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.bundles import load
from pileus.serving.server import ServeOptions, running
from tests.properties.fuzzing import MOST_BYTES, fuzz, mutated, resident_bytes
from tests.properties.test_parsers import JSON, PICTURES, REQUESTS
from tests.unit.serving.conftest import bundle_folder  # noqa: F401 - a fixture
from tests.unit.serving.sockets import LIVE, METRICS, Answers, asked, everything, posted

REFUSALS = {400, 404, 405, 408, 411, 413, 415, 417, 422, 431}
INFER = b"/v2/models/digits/infer"

TOKENS = st.sampled_from(
    [
        b"GET ", b"POST ", b"HEAD ", b"/livez", b"/v1/predict", b"/v1/predict?segment=none", b"?model=%ff",
        INFER, b"/v2/models/%00/ready", b"/v2/models/{model}", b"/v2/models/digits/versions/",
        b"/v1/bundles/../x", b"/openapi.json", b" * ",
        b"Inference-Header-Content-Length: 2", b"Content-Encoding: gzip", b"Content-Length: 3, 3", b"\t", b"\r",
        b"Content-Type: multipart/form-data; boundary=x", b"--x\r\n", b"ffffffffffffffff\r\n", b";a=b",
        b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\n", b"Host: x", b"Content-Length: 784",
        b"Content-Length: 3", b": ",
        b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade",
        b"Upgrade: h2c", b"Content-Type: application/json", b"Content-Type: application/octet-stream",
        b"X-Deadline-Ms: 1", b"3\r\nabc\r\n", b"0\r\n\r\n", b'{"strokes": [[[1, 2]]]}', LIVE, b"\x00", b"\xff",
    ]
)  # fmt: skip

WHOLE = {
    "raw": posted(bytes(784)),
    "chunks": posted(b"310\r\n%b\r\n0\r\nX: y\r\n\r\n" % bytes(784), b"Transfer-Encoding: chunked"),
    "live": LIVE,
    "infer": posted(
        json.dumps(
            {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 28, 28, 1], "data": [0] * 784}]}
        ).encode(),
        path=INFER,
    ),
    "refused": posted(bytes(30)),
}

POINTS = st.lists(st.lists(st.one_of(st.floats(width=32), st.integers(), st.just(1e308)), max_size=4), max_size=6)
STROKES = st.one_of(
    st.lists(POINTS, max_size=5),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), st.lists, max_leaves=8),
)


@pytest.fixture(scope="module")
def server(bundle_folder: Path) -> Iterator[str]:  # noqa: F811
    """In the end its process has not grown much, and nothing of any connection is left."""
    with running(load(bundle_folder), ServeOptions(port=0)) as url:
        before = resident_bytes()
        yield url
        assert resident_bytes() - before < MOST_BYTES
        (line,) = [
            each for each in asked(url, METRICS).bodies[0].splitlines() if each.startswith(b"pileus_predictions_u")
        ]
        assert line.endswith(b" 0")


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


@fuzz()
@given(pieces=st.lists(st.one_of(st.binary(max_size=40), st.lists(TOKENS, max_size=12).map(b"".join)), max_size=4))
def test_any_bytes_are_answered_by_the_rules_and_never_with_500(server: str, pieces: list[bytes]) -> None:
    answers = answered(server, [piece for piece in pieces if piece])
    assert set(answers.statuses) <= REFUSALS | {100, 200, 504}
    assert asked(server, LIVE).statuses == [200]


@fuzz()
@given(value=STROKES, whole=st.booleans())
def test_any_strokes_are_answered_or_refused(server: str, value: object, whole: bool) -> None:
    body = json.dumps({"strokes": value}).encode()
    path = b"/v1/predict?segment=none" if whole else b"/v1/predict"
    request = posted(body, path=path).replace(b"application/octet-stream", b"application/json")
    assert asked(server, request).statuses[0] in {200, 400, 413, 422}


@fuzz(0.5)
@given(
    cuts=st.lists(st.integers(1, 900), max_size=8),
    kinds=st.lists(st.sampled_from(["raw", "chunks", "live", "infer", "refused"]), min_size=1, max_size=6),
)
def test_requests_may_be_cut_anywhere(server: str, cuts: list[int], kinds: list[str]) -> None:
    stream = b"".join(WHOLE[kind] for kind in kinds)
    pieces, at = [], 0
    for length in cuts:
        pieces.append(stream[at : at + length])
        at += length
    pieces.append(stream[at:])
    answers = answered(server, [piece for piece in pieces if piece])
    assert answers.statuses == [422 if kind == "refused" else 200 for kind in kinds]


@fuzz(0.5)
@given(value=REQUESTS | JSON, tail=st.sampled_from([b"", bytes(784), bytes(40)]), shift=st.integers(-2, 2))
def test_any_request_for_tensors_is_answered_or_refused(server: str, value: object, tail: bytes, shift: int) -> None:
    text = json.dumps(value).encode()
    length = b"Inference-Header-Content-Length: %d" % max(0, len(text) + shift)
    request = posted(text + tail, *([length] if tail else []), path=INFER)
    first, second = asked(server, request + LIVE).statuses
    assert first in {200, 400} and second == 200


@fuzz(0.5)
@given(body=st.sampled_from(PICTURES).flatmap(mutated), kind=st.sampled_from([b"image/png", b"image/jpeg"]))
def test_any_picture_is_answered_or_refused(server: str, body: bytes, kind: bytes) -> None:
    request = posted(body).replace(b"application/octet-stream", kind)
    first, second = asked(server, request + LIVE).statuses
    assert first in {200, 400, 413, 422} and second == 200


@fuzz(0.2)
@given(
    name=st.sampled_from([b"X-%d", b"X", b"Content-Type", b"Cookie"]),
    length=st.integers(0, 4000),
    count=st.integers(0, 300),
    at=st.integers(1, 100_000),
)
def test_floods_of_headers_have_a_bound(server: str, name: bytes, length: int, count: int, at: int) -> None:
    lines = b"".join(name.replace(b"%d", b"%d" % number) + b": " + b"a" * length + b"\r\n" for number in range(count))
    request = LIVE.replace(b"Host", lines + b"Host")
    answers = answered(server, [piece for piece in (request[:at], request[at:], LIVE) if piece])
    if count >= 100 or count * length > 70_000:
        assert answers.statuses == [431]
    elif count * (length + 20) < 60_000:
        assert answers.statuses == [200, 200]
    assert asked(server, LIVE).statuses == [200]


@pytest.mark.parametrize("path", [b"/v1/predict", b"/v1/feedback", INFER])
def test_there_are_no_forms(bundle_folder: Path, tmp_path: Path, path: bytes) -> None:  # noqa: F811
    """A page of another site can send these without being asked whether it may."""
    form = b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\nx\r\n--x--\r\n'
    with running(load(bundle_folder), ServeOptions(port=0, feedback=str(tmp_path))) as url:
        for kind in (b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded", b"text/plain"):
            request = posted(form, path=path).replace(b"application/octet-stream", kind)
            assert asked(url, request + LIVE).statuses == [415, 200]
