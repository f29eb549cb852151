"""Workers as processes, on one host or several: one TCP connection between each two.

A frame is `magic, session tag, number, frames taken, length, place` and then the arrays' bytes; no pickle. Between
processes of one host the bytes of a large frame lie in memory, at `place`, and do not follow it. A peer that is out of
step, of another session or of another attempt is refused. Sending and receiving go on side by side, so that two workers
that send to each other at once cannot block each other.

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
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pileus.errors import PeerLost
from pileus.spec.values import digest
from pileus.training.exchange.memory import NO_OFFER, OFFER_BYTES, Inbox, Outbox, new_outbox
from pileus.training.exchange.ports import Buffers

_FRAME = struct.Struct("<4s8sIIQQ")
_MAGIC = b"PLX2"
_THROUGH_MEMORY_BYTES = 32 * 1024
"""From this size of a frame on; below it a second look costs more than the copies."""
_YES, _NO = b"y", b"n"
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
            boxes = _boxes(rank, links, until)
        except BaseException:
            for link in links.values():
                link.close()
            raise
        finally:
            self.close()
        for link in links.values():
            probe(link, unreachable_s)
        return SocketExchange(rank, links, boxes, secret[:8], deadline_s)

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


class _Boxes(NamedTuple):
    """The memory between this process and a peer; None: there is none in that direction."""

    out: Outbox | None
    into: Inbox | None

    def close(self) -> None:
        for box in self:
            if box is not None:
                box.close()


class SocketExchange:
    def __init__(
        self,
        rank: int,
        links: dict[int, socket.socket],
        boxes: Mapping[int, _Boxes],
        tag: bytes,
        deadline_s: float,
    ) -> None:
        self.rank = rank
        self.size = len(links) + 1
        self._links = links
        self._boxes = dict(boxes)
        self._tag = tag
        self._deadline_s = deadline_s
        self._sent = dict.fromkeys(links, 0)
        self._received = dict.fromkeys(links, 0)
        self._taken = dict.fromkeys(links, 0)
        """Of the frames sent to a peer, how many it had taken when it sent its last."""
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
        while self._boxes:
            self._boxes.popitem()[1].close()

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
        length = sum(view.nbytes for view in views)
        place = self._put(peer, views) if length >= _THROUGH_MEMORY_BYTES else None
        head = _MAGIC, self._tag, self._sent[peer], self._received[peer], length, place or 0
        self._sent[peer] += 1
        return [memoryview(_FRAME.pack(*head)), *(views if place is None else [])]

    def _put(self, peer: int, views: list[memoryview]) -> int | None:
        """Where in memory the bytes lie for the peer; None: they must be sent."""
        out, untaken = self._boxes[peer].out, self._sent[peer] - self._taken[peer]
        return out.put(views, all_taken=not untaken) if out is not None and untaken < 2 else None

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
        magic, tag, number, taken, length, place = _FRAME.unpack(reading.header)
        expected = (_MAGIC, self._tag, self._received[peer], reading.expected)
        if (magic, tag, number, length) != expected:
            raise PeerLost(
                f"rank {self.rank} refused rank {peer}: its frame (number {number}, {length} bytes) is not the one due "
                f"(number {self._received[peer]}, {reading.expected} bytes); it is out of step or of another attempt."
            )
        self._taken[peer] = taken
        if place:
            into = self._boxes[peer].into
            if into is None or not into.take(place, reading.body()):
                raise PeerLost(f"rank {self.rank} refused rank {peer}: it names memory that is not there.")


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

    def body(self) -> list[memoryview]:
        """All of it, right after the header: it is filled by the caller, and so nothing more is awaited."""
        body, self._views = self._views, []
        return body

    def took(self, count: int) -> bool:
        """True when this ended the header."""
        self._views[0] = self._views[0][count:]
        if self._views[0].nbytes:
            return False
        self._views.pop(0)
        ended_header, self._in_header = self._in_header, False
        return ended_header


def _boxes(rank: int, links: Mapping[int, socket.socket], until: float) -> dict[int, _Boxes]:
    """Agree with every peer on the memory between it and this process, each direction by itself."""
    outs = {peer: new_outbox() for peer in links}
    intos: dict[int, Inbox | None] = {}
    boxes: dict[int, _Boxes] = {}
    peer = rank
    try:
        for peer, link in links.items():
            out = outs[peer]
            link.sendall(out.offer if out is not None else NO_OFFER)
        for peer, link in links.items():
            link.settimeout(_left(until, f"rank {rank} waited for its peers' offers"))
            intos[peer] = Inbox.of(_read(link, OFFER_BYTES))
            link.sendall(_YES if intos[peer] is not None else _NO)
        for peer, link in links.items():
            link.settimeout(_left(until, f"rank {rank} waited for its peers' answers"))
            agreed = _read(link, 1) == _YES
            boxes[peer] = _Boxes(outs[peer] if agreed else None, intos[peer])
    except BaseException as error:
        for out_or_into in (*outs.values(), *intos.values()):
            if out_or_into is not None:
                out_or_into.close()
        if isinstance(error, OSError):
            raise PeerLost(f"rank {rank} lost rank {peer} as the gang met: {error.strerror or error}.") from error
        raise
    for peer, out in outs.items():
        if out is not None and boxes[peer].out is None:
            out.close()
    return boxes


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
