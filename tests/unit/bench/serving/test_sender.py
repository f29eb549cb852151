"""The sender against a server that does as the body says: every request ends once, by the cause that it had."""

from __future__ import annotations

import resource
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

import msgspec
import pytest

from pileus.bench.process import run_process
from pileus.bench.serving.load import Arrivals, Sent, Task, Users
from pileus.bench.serving.sender import allow_files, send
from pileus.errors import WorkFailed


class Scripted(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self.names: Counter[bytes] = Counter()
        self.pause = threading.Event()
        """While it is set, answers to `paused` wait for `go`."""
        self.go = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            assert line.startswith(b"POST /v1/predict")
            heads = dict(head.rstrip().split(b": ") for head in iter(self.rfile.readline, b"\r\n"))
            body = self.rfile.read(int(heads[b"Content-Length"]))
            if not self._answered(body, heads[b"X-Request-ID"]):
                return

    def _answered(self, body: bytes, name: bytes) -> bool:
        server = cast("Scripted", self.server)
        server.asked[body] += 1
        server.names[name] += 1
        match body:
            case b"refuse":
                self.wfile.write(b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            case b"hang up":
                return False
            case b"nonsense":
                self.wfile.write(b"nonsense\r\n")
            case b"silent":
                server.go.wait(10)
                return False
            case b"anonymous":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                return False
            case b"twice":
                self.wfile.write(2 * (b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + name))
            case _:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s=%s" % (17 + len(body), name, body))
        return True


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        scripted.go.set()
        scripted.shutdown()
        thread.join()


def task(server: Scripted, *bodies: bytes, load: Users | Arrivals | None = None, seconds: float = 0.2) -> Task:
    return Task(
        host="127.0.0.1",
        port=server.server_address[1],
        media_type="text/plain",
        bodies=bodies,
        load=load or Users(users=4),
        warm_s=0.0,
        seconds=seconds,
        timeout_s=0.3,
    )


def test_users_ask_and_are_answered_each_by_his_own_answer(server: Scripted) -> None:
    sent = send(task(server, b"one", b"two", load=Users(users=4, think_s=0.01)))
    assert sent.sent == sent.ok > 10 and sent.failed == {}
    assert (sent.unnamed, sent.stray, sent.connections) == (0, 0, 4)
    assert {(each.body, each.answer) for each in sent.given} == {(0, b"=one"), (1, b"=two")}
    assert sum(each.times for each in sent.given) == server.asked.total() >= sent.sent
    assert max(server.names.values()) == 1
    assert sent.latency is not None and sent.latency.p50_ms < 100


def test_a_rate_is_kept_as_a_process_of_its_own(server: Scripted) -> None:
    asked = task(server, b"one", load=Arrivals(per_s=200.0, connections=8), seconds=0.5)
    sent = run_process("pileus.bench.serving.sender", asked, Sent, 30.0)
    assert isinstance(sent, Sent)
    assert 60 < sent.sent == sent.ok < 150
    assert sent.cpu_s > 0


@pytest.mark.parametrize(
    ("body", "cause"),
    [(b"refuse", "429"), (b"hang up", "closed"), (b"nonsense", "unread"), (b"silent", "timeout")],
)
def test_a_failure_is_counted_by_its_cause(body: bytes, cause: str, server: Scripted) -> None:
    sent = send(task(server, body))
    assert sent.ok == 0 and set(sent.failed) == {cause} and sent.sent == sent.failed[cause] > 0
    assert sent.latency is None
    assert (sent.retry_after_s, sent.refused is not None) == (((1.0, 1.0), True) if cause == "429" else (None, False))


def test_answers_without_their_id_and_answers_that_nobody_asked_for_are_told(server: Scripted) -> None:
    sent = send(task(server, b"anonymous"))
    assert sent.unnamed == server.asked[b"anonymous"] > 0
    assert sent.connections > 4  # each was closed
    assert send(task(server, b"twice")).stray > 0


def test_nobody_there_is_a_cause(server: Scripted) -> None:
    nobody = msgspec.structs.replace(task(server, b"x"), port=1)
    sent = send(nobody)
    assert set(sent.failed) == {"connect"} and sent.ok == 0


def test_requests_that_a_stalled_server_keeps_from_being_sent_count_from_when_they_were_due(server: Scripted) -> None:
    """One connection, which is silent: without the intended time the others would not be seen at all."""
    began = time.monotonic()
    stalled = task(server, b"silent", load=Arrivals(per_s=100.0, connections=1), seconds=0.4)
    sent = send(stalled)
    assert sent.failed.keys() <= {"timeout", "unsent"} and sent.failed["unsent"] > 10
    assert sent.sent == sum(sent.failed.values())
    assert sent.late == 0.0  # it is the server's fault
    assert time.monotonic() - began < 5


def test_files_for_the_connections_are_allowed_or_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: raised.append(limits))
    allow_files(500)
    assert raised == [(564, 1024)]
    allow_files(100)
    assert len(raised) == 1
    with pytest.raises(WorkFailed, match="ulimit"):
        allow_files(1000)
