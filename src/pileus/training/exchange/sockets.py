"""Workers as processes, on one host or several: one TCP connection between each two.

A frame is `magic, session tag, number of the swap, length` and then the arrays' bytes; no pickle. A peer that is out
of step, of another session or of another attempt is refused. Sending and receiving go on side by side, so that two
workers that send to each other at once cannot block each other.

A peer that is slow and one that cannot be reached both send nothing. They are told apart by the system of the peer's
host, which answers the probes of a connection however busy the peer is.
"""

from __future__ import annotations

import contextlib
import hmac
import selectors
import socket
import struct
import time
from typing import Any

from numpy.typing import NDArray

from pileus.errors import PeerLost
from pileus.spec.values import digest
from pileus.training.exchange.ports import Buffers

_FRAME = struct.Struct("<4s8sIQ")
_MAGIC = b"PLX1"
_HELLO = struct.Struct("<4s32sII")
_UNREACHABLE_S = 20.0
_PROBES = 3


class Listener:
    """A worker's ear, opened before its address is told; the system chooses the port, so none can be taken."""

    def __init__(self, host: str = "127.0.0.1", opened: socket.socket | None = None) -> None:
        """`host`: by what name peers call. `opened`: a listening socket that was opened for it, which it takes over."""
        self.socket = opened or socket.create_server((host, 0), backlog=512)
        self.address = f"{host}:{self.socket.getsockname()[1]}"

    def close(self) -> None:
        self.socket.close()

    def connect(
        self,
        rank: int,
        addresses: tuple[str, ...],
        session: str,
        deadline_s: float,
        unreachable_s: float = _UNREACHABLE_S,
    ) -> SocketExchange:
        """Call every lower rank, be called by every higher one; PeerLost when one has not come by the deadline.

        A peer whose host answers no probe for about `unreachable_s` seconds is lost later on.
        """
        until = time.monotonic() + deadline_s
        secret = bytes.fromhex(digest(session.encode()))
        links: dict[int, socket.socket] = {}
        try:
            for peer in range(rank):
                links[peer] = _call(peer, addresses[peer], _HELLO.pack(_MAGIC, secret, rank, len(addresses)), until)
            while len(links) < len(addresses) - 1:
                peer, link = self._answer(rank, secret, len(addresses), until)
                links[peer] = link
        except BaseException:
            for link in links.values():
                link.close()
            raise
        finally:
            self.close()
        for link in links.values():
            probe(link, unreachable_s)
        return SocketExchange(rank, links, secret[:8], deadline_s)

    def _answer(self, rank: int, secret: bytes, size: int, until: float) -> tuple[int, socket.socket]:
        """The next caller that knows the session; strangers are hung up on."""
        while True:
            self.socket.settimeout(_left(until, f"rank {rank} waited for its peers to call"))
            try:
                link, _ = self.socket.accept()
            except TimeoutError:
                continue
            with contextlib.suppress(OSError, struct.error):
                link.settimeout(min(5.0, _left(until, f"rank {rank} waited for its peers to call")))
                magic, theirs, peer, their_size = _HELLO.unpack(_read(link, _HELLO.size))
                if magic == _MAGIC and hmac.compare_digest(theirs, secret) and rank < peer < size == their_size:
                    return int(peer), link
            link.close()


class SocketExchange:
    def __init__(self, rank: int, links: dict[int, socket.socket], tag: bytes, deadline_s: float) -> None:
        self.rank = rank
        self.size = len(links) + 1
        self._links = links
        self._tag = tag
        self._deadline_s = deadline_s
        self._sent = dict.fromkeys(links, 0)
        self._received = dict.fromkeys(links, 0)
        for link in links.values():
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def swap(self, outgoing: Buffers, incoming: Buffers) -> None:
        writers = {peer: self._frame(peer, arrays) for peer, arrays in outgoing.items()}
        readers = {peer: _Reading(arrays) for peer, arrays in incoming.items()}
        with selectors.DefaultSelector() as selector:
            for peer in {**writers, **readers}:
                self._watch(selector, peer, writers, readers)
            while writers or readers:
                ready = selector.select(self._deadline_s)
                if not ready:
                    silent = ", ".join(map(str, sorted({**writers, **readers})))
                    raise PeerLost(f"rank {self.rank} waited {self._deadline_s:g} s in vain for rank {silent}.")
                for key, events in ready:
                    peer = key.data
                    if events & selectors.EVENT_WRITE and self._write(peer, writers[peer]):
                        del writers[peer]
                    if events & selectors.EVENT_READ and self._read(peer, readers[peer]):
                        del readers[peer]
                    self._watch(selector, peer, writers, readers)

    def close(self) -> None:
        for link in self._links.values():
            link.close()

    def _watch(
        self, selector: selectors.BaseSelector, peer: int, writers: dict[int, Any], readers: dict[int, Any]
    ) -> None:
        events = (selectors.EVENT_WRITE if peer in writers else 0) | (selectors.EVENT_READ if peer in readers else 0)
        link = self._links[peer]
        known = selector.get_map().get(link.fileno())
        if known is None:
            selector.register(link, events, peer)
        elif not events:
            selector.unregister(link)
        elif known.events != events:
            selector.modify(link, events, peer)

    def _frame(self, peer: int, arrays: Any) -> list[memoryview]:
        views = [_bytes(array) for array in arrays]
        header = _FRAME.pack(_MAGIC, self._tag, self._sent[peer], sum(view.nbytes for view in views))
        self._sent[peer] += 1
        return [memoryview(header), *views]

    def _write(self, peer: int, views: list[memoryview]) -> bool:
        """True when all is sent."""
        try:
            sent = self._links[peer].sendmsg(views[:512])
        except BlockingIOError:
            return False
        except OSError as error:
            raise PeerLost(f"rank {self.rank} lost rank {peer}: {error.strerror}.") from error
        while views and sent >= views[0].nbytes:
            sent -= views.pop(0).nbytes
        if sent:
            views[0] = views[0][sent:]
        return not views

    def _read(self, peer: int, reading: _Reading) -> bool:
        """True when all has come."""
        try:
            while not reading.done:
                got = self._links[peer].recv_into(reading.target)
                if got == 0:
                    raise PeerLost(f"rank {self.rank} lost rank {peer}: it closed its end.")
                if reading.took(got):
                    self._check(peer, reading)
        except BlockingIOError:
            return False
        except OSError as error:
            raise PeerLost(f"rank {self.rank} lost rank {peer}: {error.strerror}.") from error
        self._received[peer] += 1
        return True

    def _check(self, peer: int, reading: _Reading) -> None:
        magic, tag, number, length = _FRAME.unpack(reading.header)
        expected = (_MAGIC, self._tag, self._received[peer], reading.expected)
        if (magic, tag, number, length) != expected:
            raise PeerLost(
                f"rank {self.rank} refused rank {peer}: its frame (number {number}, {length} bytes) is not the one due "
                f"(number {self._received[peer]}, {reading.expected} bytes); it is out of step or of another attempt."
            )


class _Reading:
    """A frame that is coming in: first the header, then straight into the arrays."""

    def __init__(self, arrays: Any) -> None:
        self.header = bytearray(_FRAME.size)
        body = [view for view in map(_bytes, arrays) if view.nbytes]
        self.expected = sum(view.nbytes for view in body)
        self._views = [memoryview(self.header), *body]
        self._in_header = True

    @property
    def done(self) -> bool:
        return not self._views

    @property
    def target(self) -> memoryview:
        return self._views[0]

    def took(self, count: int) -> bool:
        """True when this ended the header."""
        self._views[0] = self._views[0][count:]
        if self._views[0].nbytes:
            return False
        self._views.pop(0)
        ended_header, self._in_header = self._in_header, False
        return ended_header


def _bytes(array: NDArray[Any]) -> memoryview:
    return memoryview(array).cast("B") if array.nbytes else memoryview(b"")  # type: ignore[arg-type]


def probe(link: socket.socket, unreachable_s: float) -> None:
    """Have the system end the connection when what is sent, or an idle line's probes, are not acknowledged so long."""
    between_s = max(1, round(unreachable_s / (_PROBES + 1)))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": between_s,
        "TCP_KEEPINTVL": between_s,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": round(1000 * unreachable_s),
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has all
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _left(until: float, what: str) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise PeerLost(f"{what}, past the deadline.")
    return left


def _call(peer: int, address: str, hello: bytes, until: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    left = _left(until, f"rank {peer} at {address} was to be called")
    try:
        link = socket.create_connection((host, int(port)), timeout=left)
        link.sendall(hello)
    except OSError as error:
        raise PeerLost(f"rank {peer} at {address} does not answer: {error.strerror or error}.") from error
    return link


def _read(link: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = link.recv(size - len(content))
        if not part:
            raise OSError("closed")
        content += part
    return content
