"""One connection, byte by byte, against a real server: what is answered, in which order, and what is cut off."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pileus.bundles import Bundle, load
from pileus.serving.connection import Bounds
from pileus.serving.server import ServeOptions, running
from tests.unit.serving.conftest import GatedBundle
from tests.unit.serving.sockets import LIVE, Answers, asked, connected, everything, posted, until_told

BLANK = bytes(784)


@pytest.fixture(scope="module")
def server(bundle_folder: Path) -> Iterator[str]:
    with running(load(bundle_folder), ServeOptions(port=0)) as url:
        yield url


@pytest.fixture(scope="module")
def hasty(bundle_folder: Path) -> Iterator[str]:
    """Waits for nobody."""
    bounds = Bounds(head_s=0.15, body_s=0.15, idle_s=0.6, write_s=0.3, pipelined=8)
    with running(load(bundle_folder), ServeOptions(port=0, bounds=bounds)) as url:
        yield url


def test_pipelined_requests_are_answered_in_order(server: str, bundle_folder: Path) -> None:
    images_NHWC = np.random.default_rng(1).integers(0, 256, (20, 28, 28, 1), np.uint8)
    requests = b"".join(posted(image_HWC.tobytes()) + LIVE for image_HWC in images_NHWC)
    answers = asked(server, requests)
    assert answers.statuses == [200] * 40
    for body, prediction in zip(answers.bodies[::2], load(bundle_folder).predict(images_NHWC), strict=True):
        assert json.loads(body)["items"][0]["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
    assert set(answers.bodies[1::2]) == {b'{"status":"alive"}'}


def test_more_pipelined_requests_than_are_read_ahead(hasty: str) -> None:
    """Eight wait, what comes in one piece up to four times as many; then the rest is not answered, nor half of one."""
    with connected(hasty) as connection:
        connection.sendall(posted(BLANK) + LIVE * 200)
        connection.shutdown(socket.SHUT_WR)
        answers = Answers().feed(everything(connection))
    assert answers.statuses == [200] * len(answers.statuses)
    assert 30 <= len(answers.statuses) <= 201
    assert len(answers.statuses) == 201 or answers.headers[-1][b"connection"] == b"close"


def test_a_request_that_comes_a_byte_at_a_time(server: str) -> None:
    with connected(server) as connection:
        for byte in posted(b"", path=b"/nothing") + LIVE:
            connection.sendall(bytes([byte]))
        assert Answers().read(connection, 2).statuses == [404, 200]


def test_a_body_in_chunks(server: str) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BLANK[:1], BLANK[:700], BLANK[:83]))
    request = posted(chunks + b"0\r\nTrailer: x\r\n\r\n", b"Transfer-Encoding: chunked")
    assert asked(server, request + LIVE).statuses == [200, 200]


def test_who_waits_to_be_told_to_go_on_is_told(server: str) -> None:
    with connected(server) as connection:
        connection.sendall(posted(b"", b"Expect: 100-continue", b"Content-Length: 784"))
        answers = Answers()
        while not answers.statuses:
            answers.feed(connection.recv(65536))
        assert answers.statuses == [100]
        connection.sendall(BLANK)
        assert Answers().read(connection, 1).statuses == [200]


@pytest.mark.parametrize(
    ("header", "status"), [(b"X-Deadline-Ms: soon", 400), (b"Content-Length: 99999999", 413), (b"Expect: cake", 417)]
)
def test_who_waits_to_be_told_may_be_told_no(server: str, header: bytes, status: int) -> None:
    headers = [b"Expect: 100-continue", b"Content-Length: 784", header]
    kept = [each for each in headers if each.split(b":")[0] not in [header.split(b":")[0]]] + [header]
    with connected(server) as connection:
        connection.sendall(posted(b"", *kept))
        connection.settimeout(5)
        answers = Answers().read(connection, 1)
    assert answers.statuses == [status] and answers.headers[0][b"connection"] == b"close"


def test_a_refused_short_body_is_read_over_and_the_connection_kept(server: str) -> None:
    refused = posted(BLANK, b"X-Deadline-Ms: 0")
    answers = asked(server, refused + LIVE + posted(BLANK, path=b"/nothing") + LIVE)
    assert answers.statuses == [400, 200, 404, 200]


def test_a_refused_long_body_is_answered_before_it_has_come(server: str) -> None:
    with connected(server) as connection:
        connection.sendall(posted(b"", b"Content-Length: 99999999"))
        answers = Answers().read(connection, 1)
        assert answers.statuses == [413] and answers.headers[0][b"connection"] == b"close"
        connection.sendall(bytes(1 << 20))  # is dropped, and does not reset what was answered
        assert connection.recv(65536) == b""


def test_an_endless_body_in_chunks(server: str) -> None:
    with connected(server) as connection:
        connection.sendall(posted(b"", b"Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        for _ in range(17):
            connection.sendall(chunk)
        answers = Answers().read(connection, 1)
    assert answers.statuses == [413]


def test_head_asks_for_no_body(server: str) -> None:
    answers = asked(server, b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answers.headers[0][b"content-type"] == b"application/json" and answers.bodies == [b""]


@pytest.mark.parametrize(
    ("request_line", "kept"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET /livez HTTP/1.0\r\n\r\n", False),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_or_closed_as_asked(server: str, request_line: bytes, kept: bool) -> None:
    with connected(server) as connection:
        connection.sendall(request_line)
        answers = Answers().read(connection, 1)
        assert answers.statuses == [200] and (b"connection" not in answers.headers[0]) == kept
        if kept:
            connection.sendall(LIVE)
            assert answers.read(connection, 2).statuses == [200, 200]
        else:
            assert connection.recv(65536) == b""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(server: str, garbage: bytes) -> None:
    answers = asked(server, garbage)
    assert answers.statuses[-1] in (400, 405) and answers.headers[-1][b"connection"] == b"close"


def test_garbage_after_a_request_does_not_take_its_answer(server: str) -> None:
    assert asked(server, posted(BLANK) + b"\x00\x01\r\n\r\n").statuses == [200, 400]


def test_too_many_headers(server: str) -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(101))
    assert asked(server, b"GET /livez HTTP/1.1\r\n" + headers + b"\r\n").statuses == [431]


@pytest.mark.parametrize("line", [b"X-Many: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
def test_an_endless_head_is_cut_off(server: str, line: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        for _ in range(400):  # more than one piece can hold
            connection.sendall(line)
        assert Answers().read(connection, 1).statuses == [431]


def test_slow_heads_and_silent_clients_are_cut_off(hasty: str) -> None:
    with connected(hasty) as silent, connected(hasty) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        assert everything(slow) == everything(silent) == b""


def test_a_slow_body_is_told_and_cut_off(hasty: str) -> None:
    with connected(hasty) as slow:
        slow.sendall(posted(b"", b"Content-Length: 784") + b"abc")
        assert Answers().feed(everything(slow)).statuses == [408]


def test_a_kept_connection_may_ask_again_and_is_cut_off_then(hasty: str) -> None:
    with connected(hasty) as kept:
        for _ in range(2):
            kept.sendall(LIVE)
            assert Answers().read(kept, 1).statuses == [200]
        assert everything(kept) == b""


def test_who_reads_no_answers_is_cut_off(hasty: str) -> None:
    with connected(hasty) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(OSError, match=r"reset|pipe|timed out"):
            deaf.settimeout(8)
            for _ in range(10_000):  # far more than buffers of the system hold
                deaf.sendall(1000 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert asked(hasty, LIVE).statuses == [200]


def test_a_client_that_has_said_all_is_still_answered(gated: GatedBundle) -> None:
    with running(gated, ServeOptions(port=0)) as url, connected(url) as connection:
        gated.gate.clear()
        gated.entered.clear()
        connection.sendall(posted(BLANK))
        connection.shutdown(socket.SHUT_WR)
        assert gated.entered.wait(10)
        gated.gate.set()
        assert Answers().feed(everything(connection)).statuses == [200]


def test_a_client_that_is_gone_while_it_waits_costs_nothing(gated: GatedBundle) -> None:
    with running(gated, ServeOptions(port=0)) as url:
        gated.gate.clear()
        gated.entered.clear()
        with connected(url) as first, connected(url) as kept:
            first.sendall(posted(BLANK))
            assert gated.entered.wait(10)
            with connected(url) as leaving:
                leaving.sendall(posted(BLANK))
                until_told(kept, b"pileus_queue_images 1")
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            until_told(kept, b"pileus_connections 2")
            until_told(kept, b'pileus_requests_total{route="/v1/predict",status="499"} 1')
            gated.sizes.clear()
            gated.gate.set()
            assert Answers().read(first, 1).statuses == [200]
            kept.sendall(posted(BLANK))
            assert Answers().read(kept, 1).statuses == [200]
            assert gated.sizes == [1, 1]


def test_great_bodies_have_a_bound_together(bundle_folder: Path) -> None:
    options = ServeOptions(port=0, body_memory_bytes=150_000)
    with running(load(bundle_folder), options) as url, connected(url) as first, connected(url) as second:
        begun = posted(b"", b"Content-Length: 100000")
        first.sendall(begun + b"x")
        second.sendall(LIVE)
        Answers().read(second, 1)
        second.sendall(begun)
        answers = Answers().read(second, 1)
        assert answers.statuses == [429] and b"retry-after" in answers.headers[0]
        first.sendall(bytes(99_999))
        assert Answers().read(first, 1).statuses == [422]
        with connected(url) as third:
            third.sendall(posted(bytes(100_000)))
            assert Answers().read(third, 1).statuses == [422]


def test_more_connections_than_are_let_in_wait(bundle_folder: Path) -> None:
    options = ServeOptions(port=0, max_connections=2)
    with (
        running(load(bundle_folder), options) as url,
        connected(url) as first,
        connected(url) as second,
        connected(url) as third,
    ):
        for each in (first, second):
            each.sendall(LIVE)
            Answers().read(each, 1)
        third.sendall(LIVE)
        third.settimeout(0.1)
        with pytest.raises(TimeoutError):
            third.recv(1)
        first.close()
        third.settimeout(10)
        assert Answers().read(third, 1).statuses == [200]


def test_great_answers_have_a_bound_together_until_they_are_read(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    path = f"/v1/bundles/{bundle.version}/model.onnx".encode()
    fetch = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path
    size = 9_000_000  # more than the buffers of a loopback socket hold
    large = Bundle(bundle.manifest, bundle.onnx)
    large.onnx = bytes(size)
    options = ServeOptions(port=0, body_memory_bytes=size + 100_000)
    with running(large, options) as url, connected(url) as second:
        first = socket.socket()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        first.connect(second.getpeername())
        with first:
            first.settimeout(20)
            first.sendall(fetch)
            first.recv(1)
            second.sendall(fetch)
            assert Answers().read(second, 1).statuses == [429]
        while True:
            second.sendall(fetch)
            if Answers().read(second, 1).statuses == [200]:
                break
