"""Answers are read whole however they are cut, and what is no answer is told apart from what has not come yet."""

from __future__ import annotations

import pytest

from pileus.bench.serving.wire import Unreadable, prepare, read_answer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"


def test_a_request_bears_its_id() -> None:
    whole, name = prepare("127.0.0.1", "/v1/predict", "image/png", b"body").named(255)
    assert name == b"00000000000000ff"
    head, _, body = whole.partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.splitlines()[0] == b"POST /v1/predict HTTP/1.1"
    assert {b"Content-Length: 4", b"Content-Type: image/png", b"X-Request-ID: " + name} <= set(head.splitlines())


@pytest.mark.parametrize("content", [PLAIN, CHUNKED])
def test_an_answer_is_whole_with_its_last_byte(content: bytes) -> None:
    assert all(read_answer(content[:cut]) is None for cut in range(len(content)))
    found = read_answer(content + b"HTTP/1.1")
    assert found is not None
    assert (found.status, found.body, found.size, found.closes) == (200, b"hello", len(content), False)


def test_a_refusal_says_when_to_come_back() -> None:
    found = read_answer(REFUSED)
    assert found is not None
    assert (found.status, found.body, found.closes, found.retry_after_s) == (429, b"", True, 3.0)


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20),
    ],
)
def test_what_is_no_answer_is_told(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_answer(content)
