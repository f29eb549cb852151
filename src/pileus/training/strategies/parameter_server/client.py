"""A worker's end: one connection to each server, one request to all of them at once.

A broken connection is made again and its request sent again, a bounded number of times; the server counts it once.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.errors import PeerLost
from pileus.training.exchange.sockets import probe
from pileus.training.strategies.parameter_server.wire import Head, Incoming, Kind, Outgoing, Refused, Seal, frame_bytes

_MOST_CALLS = 6
"""Of one request over connections that break."""
_FIRST_PAUSE_S = 0.05
"""Between two calls; doubled with each."""
_LONGEST_REASON = 1000


class Request(NamedTuple):
    head: Head
    arrays: Sequence[NDArray[Any]] = ()
    answer: Sequence[NDArray[Any]] = ()
    """To be filled by the answer."""


class Caller(NamedTuple):
    """Who asks, and how long it waits."""

    seal: Seal
    worker: int
    num_workers: int
    answer_s: float
    """For an answer."""
    call_s: float
    """For a server that can be reached again."""


class Traffic:
    """Counted since the last reset."""

    def __init__(self) -> None:
        self.messages = 0
        self.num_bytes = 0


class Servers:
    """Used by one thread."""

    def __init__(self, addresses: Sequence[str], caller: Caller) -> None:
        """Calls no one before the first request."""
        self._addresses = addresses
        self._caller = caller
        self._links: dict[int, socket.socket] = {}
        self.traffic = Traffic()

    def ask(self, requests: Sequence[Request]) -> list[Head]:
        """One request to each server, all under way at once; the heads of the answers, in the order of servers.

        PeerLost names the server that is gone, silent past the deadline, or refuses.
        """
        errands = [_Errand(server, request, self._caller) for server, request in enumerate(requests)]
        with selectors.DefaultSelector() as selector:
            for errand in errands:
                self._begin(errand, selector)
            open_ones = len(errands)
            while open_ones:
                ready = selector.select(self._caller.answer_s)
                if not ready:
                    late = ", ".join(str(self._rank(each.server)) for each in errands if each.told is None)
                    raise PeerLost(f"{self._me} waited {self._caller.answer_s:g} s in vain for server rank {late}.")
                for key, _ in ready:
                    open_ones -= self._go_on(key.data, selector)
        self._count(requests)
        return [errand.told for errand in errands if errand.told is not None]

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _begin(self, errand: _Errand, selector: selectors.BaseSelector) -> None:
        link = self._links.get(errand.server)
        errand.start(is_known=link is not None)
        if link is None:
            link = self._links[errand.server] = self._call(errand)
        selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE, errand)

    def _go_on(self, errand: _Errand, selector: selectors.BaseSelector) -> bool:
        """True when the errand is done."""
        link = self._links[errand.server]
        try:
            if errand.is_sending and errand.send(link):
                selector.modify(link, selectors.EVENT_READ, errand)
            if not errand.receive(link):
                return False
        except OSError:
            selector.unregister(link)
            self._links.pop(errand.server).close()
            self._begin(errand, selector)
            return False
        except Refused as error:
            raise PeerLost(
                f"{self._me} did not get on with server rank {self._rank(errand.server)}: {error}."
            ) from None
        selector.unregister(link)
        return True

    def _call(self, errand: _Errand) -> socket.socket:
        caller, server = self._caller, errand.server
        host, _, port = self._addresses[server].rpartition(":")
        until = time.monotonic() + caller.call_s
        while True:
            errand.calls += 1
            left_s = until - time.monotonic()
            if errand.calls > _MOST_CALLS or left_s <= 0:
                raise PeerLost(f"{self._me} lost server rank {self._rank(server)} and could not reach it again.")
            try:
                link = socket.create_connection((host, int(port)), timeout=left_s)
            except ConnectionRefusedError as error:
                raise PeerLost(f"{self._me} lost server rank {self._rank(server)}: it has ended.") from error
            except OSError:
                time.sleep(min(_FIRST_PAUSE_S * 2.0**errand.calls, max(0.0, until - time.monotonic())))
                continue
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            probe(link, caller.call_s)
            link.setblocking(False)
            return link

    def _count(self, requests: Sequence[Request]) -> None:
        self.traffic.messages += 2 * len(requests)
        for request in requests:
            for arrays in (request.arrays, request.answer):
                self.traffic.num_bytes += frame_bytes(len(arrays), sum(array.nbytes for array in arrays))

    def _rank(self, server: int) -> int:
        return self._caller.num_workers + server

    @property
    def _me(self) -> str:
        return f"rank {self._caller.worker}"


class _Errand:
    """One request to one server until its answer is there."""

    def __init__(self, server: int, request: Request, caller: Caller) -> None:
        self.server = server
        self.calls = 0
        self.told: Head | None = None
        self._request = request
        self._caller = caller

    def start(self, *, is_known: bool) -> None:
        """From the beginning; a server on a new connection does not know who calls."""
        caller, request = self._caller, self._request
        self._outgoing = [Outgoing(caller.seal, request.head, request.arrays)]
        if not is_known:
            hello = Head(Kind.HELLO, caller.worker, num_leaves=caller.num_workers)
            self._outgoing.insert(0, Outgoing(caller.seal, hello, [np.frombuffer(caller.seal.secret, np.uint8)]))
        self._incoming = Incoming(caller.seal, self._place)

    @property
    def is_sending(self) -> bool:
        return bool(self._outgoing)

    def send(self, link: socket.socket) -> bool:
        """True when all is sent."""
        while self._outgoing and self._outgoing[0].send(link):
            self._outgoing.pop(0)
        return not self._outgoing

    def receive(self, link: socket.socket) -> bool:
        head = self._incoming.receive(link)
        if head is None:
            return False
        if head.kind == Kind.REFUSED:
            raise Refused(bytes(self._incoming.arrays[0]).decode(errors="replace"))
        self.told = head
        return True

    def _place(self, head: Head, lengths: list[int]) -> Sequence[NDArray[Any]]:
        if head.kind == Kind.REFUSED and len(lengths) == 1 and lengths[0] <= _LONGEST_REASON:
            return [np.empty(lengths[0], np.uint8)]
        due = [array.nbytes for array in self._request.answer]
        if (head.kind, head.clock, lengths) != (Kind.ANSWER, self._request.head.clock, due):
            raise Refused(f"its answer is to step {head.clock} and not {self._request.head.clock}, or of another size")
        return self._request.answer
