"""Two ends in one process: what is proved, and what is refused."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.engines.cluster.environment import Cluster, parse, printed
from pileus.engines.cluster.handshake import Arrival, Rejected, answer, call
from pileus.engines.cluster.link import Link
from pileus.engines.cluster.messages import Gone, ToChief
from pileus.engines.cluster.secret import proof, read_secret
from pileus.errors import UsageError

SECRET = b"0123456789abcdef"
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    yield near, far
    near.close()
    far.close()


def clusters(server: socket.socket) -> tuple[Cluster, Cluster]:
    """As its chief and as its worker see it."""
    texts = printed([f"127.0.0.1:{server.getsockname()[1]}", "127.0.0.1:1"])
    return parse(texts["chief 0"]), parse(texts["worker 0"])


def answered(server: socket.socket, cluster: Cluster, secret: bytes) -> list[Any]:
    """What the chief makes of the next caller, once the returned thread has ended."""
    found: list[Any] = []

    def run() -> None:
        found.append(answer(server.accept()[0], cluster, secret))

    thread = threading.Thread(target=run)
    thread.start()
    return [thread, found]


def test_two_who_know_the_secret_understand_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        chief, worker = clusters(server)
        thread, found = answered(server, chief, SECRET)
        link = call(worker, SECRET, 3, time.monotonic() + 5)
        thread.join()
        (arrival,) = found
        assert isinstance(arrival, Arrival)
        assert (str(arrival.task), arrival.cores) == ("worker 0", 3)
        link.send(Gone(gang=7))
        link.send(Gone(gang=8))
        heard: list[Any] = []
        while len(heard) < 2:
            heard += arrival.link.receive(ToChief) or []
        assert heard == [Gone(gang=7), Gone(gang=8)]
        link.close()
        assert arrival.link.receive(ToChief) is None
        arrival.link.close()


@pytest.mark.parametrize("theirs", [b"another secret, as long", b""])
def test_another_secret_is_refused_on_both_sides(theirs: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        chief, worker = clusters(server)
        thread, found = answered(server, chief, SECRET)
        with pytest.raises(UsageError, match=r"refuses worker 0: its secret is another"):
            call(worker, theirs, 1, time.monotonic() + 5)
        thread.join()
        (rejected,) = found
        assert isinstance(rejected, Rejected)
        assert "its secret is another" in rejected.reason


def test_a_chief_that_cannot_prove_itself_is_not_served() -> None:
    """One that takes every caller: it has no proof to show."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, worker = clusters(server)

        def pretend() -> None:
            from_agent, _ = server.accept()
            with from_agent:
                from_agent.sendall(b"PLC1" + bytes(32))
                from_agent.recv(4096)
                welcome = b"\x82\xa4type\xa7Welcome\xa5proof\xc4\x20" + bytes(32)
                from_agent.sendall(len(welcome).to_bytes(4, "little") + welcome)

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(ConnectionError, match="it does not know the secret"):
            call(worker, SECRET, 1, time.monotonic() + 5)
        thread.join()


def test_another_cluster_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        chief, worker = clusters(server)
        other = parse(printed([str(worker.addresses[worker.chief]), "127.0.0.1:2"])["worker 0"])
        thread, _ = answered(server, chief, SECRET)
        with pytest.raises(UsageError, match="names another cluster"):
            call(other, SECRET, 1, time.monotonic() + 5)
        thread.join()


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(64)])
def test_a_stranger_is_hung_up_on(noise: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        chief, _ = clusters(server)
        thread, found = answered(server, chief, SECRET)
        with socket.create_connection(server.getsockname()) as stranger:
            with contextlib.suppress(OSError):  # it may have been hung up on already
                stranger.sendall(noise)
                stranger.shutdown(socket.SHUT_WR)
            thread.join()
        (rejected,) = found
        assert isinstance(rejected, Rejected)
        assert rejected.task is None


def test_what_is_no_chief_is_not_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, worker = clusters(server)

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0" + b"x" * 64)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ConnectionError, match="no chief of a cluster"):
            call(worker, SECRET, 1, time.monotonic() + 5)
        thread.join()


def frame(number: int, message: bytes, *, key: bytes = SECRET, side: str = "agent") -> bytes:
    return len(message).to_bytes(4, "little") + proof(key, side, number.to_bytes(8), message) + message


GONE = b"\x82\xa4type\xa4Gone\xa4gang\x01"


@pytest.mark.parametrize(
    "content",
    [
        frame(0, GONE, key=b"another"),
        frame(0, GONE, side="chief"),
        frame(1, GONE),
        frame(0, GONE)[:-1] + b"\x02",
        (1 << 30).to_bytes(4, "little") + bytes(64),
        frame(0, b"\xc1"),
        frame(0, b"\x81\xa4type\xa5Place"),
    ],
    ids=["key", "reflected", "number", "changed", "large", "garbage", "kind"],
)
def test_a_frame_that_is_not_the_one_due_ends_the_link(pair: Pair, content: bytes) -> None:
    link = Link(pair[1], SECRET, side="chief")
    pair[0].sendall(content)
    assert link.receive(ToChief) is None


def test_a_repeated_frame_ends_the_link(pair: Pair) -> None:
    link = Link(pair[1], SECRET, side="chief")
    pair[0].sendall(frame(0, GONE))
    assert link.receive(ToChief) == [Gone(gang=1)]
    pair[0].sendall(frame(0, GONE))
    assert link.receive(ToChief) is None


def test_a_frame_may_come_in_pieces(pair: Pair) -> None:
    link = Link(pair[1], SECRET, side="chief")
    content = frame(0, GONE)
    pair[0].sendall(content[:10])
    assert link.receive(ToChief) == []
    pair[0].sendall(content[10:])
    assert link.receive(ToChief) == [Gone(gang=1)]


def test_a_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    far = parse(printed(["10.0.0.1"])["chief 0"])
    file = tmp_path / "secret"
    file.write_text("from a file, with a newline\n")
    assert read_secret(far, {"PILEUS_CLUSTER_SECRET": SECRET.decode()}) == SECRET
    assert read_secret(far, {"PILEUS_CLUSTER_SECRET_FILE": str(file)}) == b"from a file, with a newline"
    with pytest.raises(UsageError, match="cannot be read"):
        read_secret(far, {"PILEUS_CLUSTER_SECRET_FILE": str(tmp_path / "none")})
    with pytest.raises(UsageError, match=r"at least 16 bytes \(got 5\)"):
        read_secret(far, {"PILEUS_CLUSTER_SECRET": "short"})


def test_only_loopback_may_do_without_a_secret() -> None:
    assert read_secret(parse(printed(["localhost", "127.0.0.1"])["chief 0"]), {}) == b""
    with pytest.raises(UsageError, match="must share a secret"):
        read_secret(parse(printed(["localhost", "10.0.0.1"])["chief 0"]), {})
