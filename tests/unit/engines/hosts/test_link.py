"""Two ends in one process: what is proved, and what is refused."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pileus.engines.hosts import handshake
from pileus.engines.hosts.address import Address
from pileus.engines.hosts.handshake import Arrival, Caller, Door, Rejected, answer, call
from pileus.engines.hosts.link import Link
from pileus.engines.hosts.messages import Gone, ToChief
from pileus.engines.hosts.secret import proof
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


CALLER = Caller("host 7", "ours", SECRET, 3)


def objection(name: str, group: str) -> str | None:
    return None if (name, group) == ("host 7", "ours") else f"{name} of {group} is no host of ours"


DOOR = Door(SECRET, objection)


def address(server: socket.socket) -> Address:
    return Address(*server.getsockname())


def answered(server: socket.socket) -> list[Any]:
    """What the chief makes of the next caller, once the returned thread has ended."""
    found: list[Any] = []

    def run() -> None:
        found.append(answer(server.accept()[0], DOOR))

    thread = threading.Thread(target=run)
    thread.start()
    return [thread, found]


def test_two_who_know_the_secret_understand_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread, found = answered(server)
        link = call(address(server), CALLER, time.monotonic() + 5)
        thread.join()
        (arrival,) = found
        assert isinstance(arrival, Arrival)
        assert (arrival.name, arrival.cores) == ("host 7", 3)
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
        thread, found = answered(server)
        with pytest.raises(UsageError, match=r"refuses host 7: its secret is another"):
            call(address(server), CALLER._replace(secret=theirs), time.monotonic() + 5)
        thread.join()
        (rejected,) = found
        assert isinstance(rejected, Rejected)
        assert "its secret is another" in rejected.reason


def test_a_chief_that_cannot_prove_itself_is_not_served() -> None:
    """One that takes every caller: it has no proof to show."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pretend() -> None:
            from_agent, _ = server.accept()
            with from_agent:
                from_agent.sendall(b"PLC2" + bytes(32))
                from_agent.recv(4096)
                welcome = b"\x82\xa4type\xa7Welcome\xa5proof\xc4\x20" + bytes(32)
                from_agent.sendall(len(welcome).to_bytes(4, "little") + welcome)

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(ConnectionError, match="it does not know the secret"):
            call(address(server), CALLER, time.monotonic() + 5)
        thread.join()


@pytest.mark.parametrize(
    ("change", "told"),
    [({"group": "theirs"}, "host 7 of theirs is no host of ours"), ({"name": "host 8"}, "host 8 of ours is no host")],
)
def test_who_knows_the_secret_and_belongs_elsewhere_is_refused(change: dict[str, Any], told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread, _ = answered(server)
        with pytest.raises(UsageError, match=told):
            call(address(server), CALLER._replace(**change), time.monotonic() + 5)
        thread.join()


@pytest.mark.parametrize("library", ["pileus", "torch"])
def test_other_versions_are_refused(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were another library to the caller than to the chief, which looks later."""
    versions = {"pileus": ["0.0.1", "0.0.2"], "torch": ["0.0.1", "0.0.2"]}
    versions[{"pileus": "torch", "torch": "pileus"}[library]] = ["3"] * 2
    monkeypatch.setattr(handshake, "_version", lambda library: versions[library].pop(0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread, _ = answered(server)
        with pytest.raises(UsageError, match=rf"it has {library} 0\.0\.1, and the chief 0\.0\.2; install the same"):
            call(address(server), CALLER, time.monotonic() + 5)
        thread.join()


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(64)])
def test_a_stranger_is_hung_up_on(noise: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread, found = answered(server)
        with socket.create_connection(server.getsockname()) as stranger:
            with contextlib.suppress(OSError):  # it may have been hung up on already
                stranger.sendall(noise)
                stranger.shutdown(socket.SHUT_WR)
            thread.join()
        (rejected,) = found
        assert isinstance(rejected, Rejected)
        assert rejected.name is None


def test_what_is_no_chief_is_not_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0" + b"x" * 64)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ConnectionError, match="no chief of ours"):
            call(address(server), CALLER, time.monotonic() + 5)
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
