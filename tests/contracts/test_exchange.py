"""One suite for every exchange."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pileus.errors import PeerLost
from pileus.training.exchange import sockets
from pileus.training.exchange.ports import Exchange
from pileus.training.exchange.sockets import Listener
from pileus.training.exchange.threads import Meeting

Gang = Callable[[int, float], list[Exchange]]


def by_threads(size: int, deadline_s: float) -> list[Exchange]:
    meeting = Meeting(size, deadline_s)
    return [meeting.end(rank) for rank in range(size)]


def by_sockets_alone(size: int, deadline_s: float) -> list[Exchange]:
    """As between hosts, which share no memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets, "new_outbox", lambda: None)
        return by_sockets(size, deadline_s)


def by_sockets(size: int, deadline_s: float) -> list[Exchange]:
    ears = [Listener() for _ in range(size)]
    addresses = tuple(ear.address for ear in ears)
    with ThreadPoolExecutor(size) as pool:
        calls = [pool.submit(ear.connect, rank, addresses, "word", deadline_s) for rank, ear in enumerate(ears)]
        return [call.result() for call in calls]


@pytest.fixture(params=[by_threads, by_sockets, by_sockets_alone])
def gang(request: pytest.FixtureRequest) -> Gang:
    return request.param  # type: ignore[no-any-return]


def together(calls: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    """Run side by side; what each raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.exception(timeout=30) for future in [pool.submit(call) for call in calls]]


def closed(ends: Sequence[Exchange]) -> None:
    for end in ends:
        end.close()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_everyone_gets_what_each_peer_sent(gang: Gang, size: int) -> None:
    ends = gang(size, 10.0)

    def all_to_all(end: Exchange) -> None:
        peers = [rank for rank in range(size) if rank != end.rank]
        for number in range(3):
            incoming = {peer: [np.zeros(2, np.float32), np.zeros(3, np.uint32)] for peer in peers}
            end.swap(
                {peer: [np.full(2, end.rank + number, np.float32), np.full(3, peer, np.uint32)] for peer in peers},
                incoming,
            )
            for peer in peers:
                assert (incoming[peer][0] == peer + number).all()
                assert (incoming[peer][1] == end.rank).all()

    assert together([lambda end=end: all_to_all(end) for end in ends]) == [None] * size  # type: ignore[misc]
    closed(ends)


def test_large_arrays_sent_both_ways_at_once_do_not_block(gang: Gang) -> None:
    ends = gang(2, 20.0)
    sent = [np.arange(3_000_000, dtype=np.float32) + rank for rank in range(2)]
    got = [np.zeros_like(array) for array in sent]
    calls = [lambda r=r: ends[r].swap({1 - r: [sent[r]]}, {1 - r: [got[r]]}) for r in range(2)]
    assert together(calls) == [None, None]
    assert (got[0] == sent[1]).all() and (got[1] == sent[0]).all()
    closed(ends)


def test_large_frames_one_way_are_not_overwritten_before_they_are_taken(gang: Gang) -> None:
    ends = gang(2, 20.0)
    sizes = [20_000, 30_000, 25_000, 200_000, 10_000, 200_000]
    sent = [np.full(size, number + 1, np.float32) for number, size in enumerate(sizes)]
    got = [np.zeros_like(array) for array in sent]
    ends[0].swap({1: sent[:1]}, {})
    ends[0].swap({1: sent[1:2]}, {})

    def send() -> None:
        for array in sent[2:]:
            ends[0].swap({1: [array]}, {})

    def receive() -> None:
        for array in got:
            ends[1].swap({}, {0: [array]})

    assert together([send, receive]) == [None, None]
    assert all((theirs == mine).all() for theirs, mine in zip(got, sent, strict=True))
    closed(ends)


def test_one_way_and_empty_arrays(gang: Gang) -> None:
    ends = gang(2, 10.0)
    got = np.zeros(4, np.float32)
    empty = np.empty(0, np.float32)
    calls = [
        lambda: ends[0].swap({1: [np.ones(4, np.float32), empty]}, {}),
        lambda: ends[1].swap({}, {0: [got, np.empty(0, np.float32)]}),
    ]
    assert together(calls) == [None, None]
    assert (got == 1).all()
    closed(ends)


def test_a_peer_that_closes_is_named_at_once(gang: Gang) -> None:
    ends = gang(2, 30.0)
    ends[1].close()
    with pytest.raises(PeerLost, match="rank 0 lost rank 1"):
        ends[0].swap({}, {1: [np.zeros(1, np.float32)]})
    closed(ends)


def test_a_silent_peer_is_named_at_the_deadline(gang: Gang) -> None:
    ends = gang(2, 0.2)
    with pytest.raises(PeerLost, match="rank 1"):
        ends[0].swap({}, {1: [np.zeros(1, np.float32)]})
    closed(ends)


def test_a_peer_out_of_step_is_refused() -> None:
    ends = by_sockets(2, 10.0)
    ends[1].swap({0: [np.zeros(1, np.float32)]}, {})
    with pytest.raises(PeerLost, match="out of step"):
        ends[0].swap({}, {1: [np.zeros(2, np.float32)]})
    closed(ends)


def test_a_stranger_is_hung_up_on_and_the_gang_forms_without_him() -> None:
    ears = [Listener(), Listener()]
    addresses = tuple(ear.address for ear in ears)
    host, port = addresses[0].split(":")
    stranger = socket.create_connection((host, int(port)))
    stranger.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" + bytes(64))
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(ear.connect, rank, addresses, "word", 10.0) for rank, ear in enumerate(ears)]
        ends = [call.result(timeout=20) for call in calls]
    stranger.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        assert stranger.recv(1) == b""
    stranger.close()
    closed(ends)


def test_one_of_another_session_is_refused() -> None:
    ears = [Listener(), Listener()]
    addresses = tuple(ear.address for ear in ears)
    outcome: list[BaseException | None] = []

    def first() -> None:
        try:
            ears[0].connect(0, addresses, "word", 0.5).close()
        except PeerLost as error:
            outcome.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    with pytest.raises(PeerLost, match="rank 1 lost rank 0 as the gang met"):
        ears[1].connect(1, addresses, "another", 5.0)
    thread.join(10)
    assert len(outcome) == 1
