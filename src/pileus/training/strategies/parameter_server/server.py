"""The program of a parameter server: sockets on one side, the state machine of its shard on the other.

One thread serves all workers. A worker whose connection broke may come again within the silence deadline; a stranger
is hung up on. It ends when every worker has released it.
"""

from __future__ import annotations

import contextlib
import hmac
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pileus.errors import PeerLost
from pileus.spec.job import Finished, Job, Stopped
from pileus.training.exchange.sockets import probe
from pileus.training.faults import Faults
from pileus.training.layout import aligned_zeros
from pileus.training.optimizers import Flat
from pileus.training.seat import Seat
from pileus.training.strategies.parameter_server.plan import Extent
from pileus.training.strategies.parameter_server.shard import Push, Shard, nodes_of
from pileus.training.strategies.parameter_server.wire import (
    SECRET_BYTES,
    Head,
    Incoming,
    Kind,
    Outgoing,
    Refused,
    Seal,
)

_LOOK_S = 0.2
_STRANGER_S = 5.0
"""To say who one is."""
_MOST_STRANGERS = 64
_QUIET_S = 3600.0
"""Without a word of anyone. Workers may be busy with other things; their heartbeats are the controller's to watch."""
_MOST_LEAVES = 1 << 20
_FINGERPRINT_BYTES = 64
_INDEX_BYTES = 8 * len(Extent._fields)


def serve(job: Job, seat: Seat) -> None:
    """From an open port to the last word. PeerLost when a worker is gone."""
    faults = Faults(job, seat)
    faults.before_joining()
    with contextlib.closing(seat.listen()) as listener:
        seat.serve(listener.address, job.spec.engine.start_deadline_s)
        server = _Server(job, seat, faults, listener.socket)
        try:
            server.run()
        finally:
            server.close()


class _Link:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.since_s = time.monotonic()
        self.worker: int | None = None
        """None: who it is has not been said."""
        self.incoming: Incoming | None = None
        self.outgoing: list[Outgoing] = []
        self.is_closing = False
        """When all is sent."""


class _Server:
    def __init__(self, job: Job, seat: Seat, faults: Faults, ear: socket.socket) -> None:
        self._job = job
        self._seat = seat
        self._faults = faults
        self._seal = Seal.of(job.session)
        self._ear = ear
        self._selector = selectors.DefaultSelector()
        self._links: set[_Link] = set()
        self._shard: Shard | None = None
        self._released: dict[int, str | None] = {}
        """By worker: the fingerprint it ended with; None: stopped."""
        self._last_heard_s = time.monotonic()
        self._gone_s: dict[int, float] = dict.fromkeys(range(job.spec.workers), self._last_heard_s)
        """Since when a worker has no connection."""
        self._known: set[int] = set()
        """Workers that have ever called."""

    def run(self) -> None:
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        while len(self._released) < self._job.spec.workers or any(link.outgoing for link in self._links):
            for key, events in self._selector.select(_LOOK_S):
                if key.data is None:
                    self._welcome()
                elif key.data in self._links:
                    self._serve(key.data, events)
            self._seat.at(0, self._clock)
            self._look_for_the_missing()
        fingerprint = self._released[0]
        if fingerprint is None:
            self._seat.report(Stopped(rank=self._seat.rank, step=self._clock))
        else:
            self._seat.report(Finished(rank=self._seat.rank, step=self._clock, fingerprint=fingerprint))

    def close(self) -> None:
        for link in self._links:
            link.connection.close()
        self._selector.close()

    @property
    def _clock(self) -> int:
        return self._shard.clock if self._shard else 0

    def _welcome(self) -> None:
        try:
            connection, _ = self._ear.accept()
        except OSError:
            return  # it has hung up already
        if sum(link.worker is None for link in self._links) >= _MOST_STRANGERS:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        probe(connection, self._job.spec.engine.silence_deadline_s)
        link = _Link(connection)
        self._links.add(link)
        self._watch(link)

    def _serve(self, link: _Link, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._write(link)
            if events & selectors.EVENT_READ:
                self._read(link)
        except Refused as error:
            self._refuse(link, str(error))
        except OSError:
            self._drop(link)

    def _write(self, link: _Link) -> None:
        while link.outgoing and link.outgoing[0].send(link.connection):
            link.outgoing.pop(0)
        if link.is_closing and not link.outgoing:
            self._drop(link)
        else:
            self._watch(link)

    def _read(self, link: _Link) -> None:
        link.incoming = link.incoming or Incoming(self._seal, lambda head, lengths: self._place(link, head, lengths))
        head = link.incoming.receive(link.connection)
        if head is None:
            return
        arrays, link.incoming = link.incoming.arrays, None
        self._last_heard_s = time.monotonic()
        clock = self._clock
        self._take(link, head, arrays)
        if self._shard:
            for answer in self._shard.ready():
                told = Head(Kind.ANSWER, answer.worker, answer.clock, stops=answer.stops, commits=answer.commits)
                self._send(self._link_of(answer.worker), Outgoing(self._seal, told, answer.arrays))
        if head.kind == Kind.BEGIN or self._clock != clock:
            self._faults.before(self._clock)

    def _take(self, link: _Link, head: Head, arrays: Sequence[NDArray[Any]]) -> None:
        if head.kind == Kind.HELLO:
            self._know(link, head, arrays[0].tobytes())
            return
        worker = link.worker
        assert worker is not None
        if head.kind == Kind.BEGIN:
            self._begin(head, arrays)
            self._send(link, Outgoing(self._seal, Head(Kind.ANSWER, worker, head.clock)))
        elif head.kind == Kind.RELEASE:
            self._released[worker] = arrays[0].tobytes().decode() if arrays else None
            self._send(link, Outgoing(self._seal, Head(Kind.ANSWER, worker, head.clock)))
        elif head.kind == Kind.SETTLE and self._shard:
            self._shard.settle(worker, head.clock)
        elif head.kind == Kind.PUSH and self._shard:
            push = Push(head.clock, head.lr, head.num_leaves, head.samples, head.stops, head.commits)
            self._shard.push(worker, push, arrays)

    def _know(self, link: _Link, head: Head, secret: bytes) -> None:
        num_workers = self._job.spec.workers
        known = hmac.compare_digest(secret, self._seal.secret) and head.num_leaves == num_workers
        if not known or head.worker >= num_workers:
            raise Refused("this is another gang's server")
        for old in [each for each in self._links if each.worker == head.worker]:
            self._drop(old)
        link.worker = head.worker
        self._known.add(head.worker)
        self._gone_s.pop(head.worker, None)
        self._watch(link)

    def _begin(self, head: Head, arrays: Sequence[NDArray[Any]]) -> None:
        """Once; when it comes again its answer was lost."""
        if self._shard is None:
            extent, state, *remembered = arrays
            self._shard = Shard(self._job.spec, Extent(*map(int, extent)), head.clock, state, remembered)
            for link in self._links:
                self._watch(link)

    def _place(self, link: _Link, head: Head, lengths: list[int]) -> Sequence[NDArray[Any]]:
        """Where the arrays of a frame go that is due; Refused for others."""
        if link.worker is None:
            if head.kind == Kind.HELLO and lengths == [SECRET_BYTES]:
                return [np.empty(SECRET_BYTES, np.uint8)]
        elif head.worker == link.worker and not link.is_closing:
            if head.kind == Kind.PUSH and self._shard and 0 < head.num_leaves <= _MOST_LEAVES:
                num_sums = len(nodes_of(head.worker, self._job.spec.workers, head.num_leaves))
                if lengths == [4 * self._shard.extent.size] * num_sums:
                    return [self._shard.vector() for _ in lengths]
            elif (head.kind == Kind.SETTLE and self._shard and not lengths) or (
                head.kind == Kind.RELEASE and lengths in ([], [_FINGERPRINT_BYTES])
            ):
                return [np.empty(length, np.uint8) for length in lengths]
            elif head.kind == Kind.BEGIN and head.worker == 0 and lengths and lengths[0] == _INDEX_BYTES:
                return [np.empty(len(Extent._fields), np.int64), *map(_floats, lengths[1:])]
        raise Refused(f"a frame of kind {head.kind.name}, step {head.clock}, with {len(lengths)} arrays is not due")

    def _link_of(self, worker: int) -> _Link:
        return next(link for link in self._links if link.worker == worker)

    def _send(self, link: _Link, frame: Outgoing) -> None:
        """As much as the link takes at once; the rest when it is ready."""
        link.outgoing.append(frame)
        try:
            self._write(link)
        except OSError:
            self._drop(link)

    def _refuse(self, link: _Link, reason: str) -> None:
        """Said to workers; strangers are told nothing."""
        link.is_closing = True
        if link.worker is None:
            self._drop(link)
            return
        text = np.frombuffer(reason.encode(), np.uint8)
        self._send(link, Outgoing(self._seal, Head(Kind.REFUSED, link.worker), [text]))

    def _drop(self, link: _Link) -> None:
        if link not in self._links:
            return
        self._links.remove(link)
        if link.connection.fileno() in self._selector.get_map():
            self._selector.unregister(link.connection)
        link.connection.close()
        if link.worker is not None:
            self._gone_s[link.worker] = time.monotonic()
            if self._shard:
                self._shard.forget(link.worker)

    def _watch(self, link: _Link) -> None:
        """Until the shard has begun, what other workers than rank 0 send waits where it is."""
        reads = not link.is_closing and (self._shard is not None or link.worker in (None, 0))
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if link.outgoing else 0)
        known = self._selector.get_map().get(link.connection.fileno())
        if known is None and events:
            self._selector.register(link.connection, events, link)
        elif known is not None and not events:
            self._selector.unregister(link.connection)
        elif known is not None and known.events != events:
            self._selector.modify(link.connection, events, link)

    def _look_for_the_missing(self) -> None:
        now_s, engine = time.monotonic(), self._job.spec.engine
        for link in [each for each in self._links if each.worker is None and now_s - each.since_s > _STRANGER_S]:
            self._drop(link)
        for worker, since_s in self._gone_s.items():
            within_s = engine.silence_deadline_s if worker in self._known else engine.start_deadline_s
            if worker not in self._released and now_s - since_s > within_s:
                raise PeerLost(f"server rank {self._seat.rank} waited {within_s:g} s in vain for rank {worker}.")
        if now_s - self._last_heard_s > _QUIET_S:
            raise PeerLost(f"server rank {self._seat.rank} heard of no worker for {_QUIET_S:g} s.")


def _floats(num_bytes: int) -> Flat:
    if num_bytes % 4:
        raise Refused(f"{num_bytes} bytes are no whole floats")
    return aligned_zeros(num_bytes // 4)
