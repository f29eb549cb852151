"""The sender of a load: one thread, one epoll, prepared bytes, so that it costs little beside the server.

    python -m pileus.bench.serving.sender < task.json

prints one line of JSON, a Sent or {"error": ...}. No event loop of asyncio: its timers are whole milliseconds, and
every request would pass through futures and tasks. One request at a time is under way on a connection, and nothing
is sent twice.
"""

from __future__ import annotations

import gc
import resource
import select
import socket
import sys
import time
from collections import deque

from pileus.bench.process import answer
from pileus.bench.serving.load import Sent, Task, Users
from pileus.bench.serving.schedule import schedule_of
from pileus.bench.serving.tally import OK, REFUSED, Tally
from pileus.bench.serving.wire import Answer, Unreadable, prepare, read_answer
from pileus.errors import WorkFailed

_BURST = 64
"""Requests that are sent before answers are read again."""
_SPARE_FILES = 64
_SWEEP_S = 0.05
"""Between looks for requests past their time."""
_BACK_OFF_S = 0.1
"""Of a user whose connection was lost."""
_CHUNK_BYTES = 1 << 14
_FIRST_CONNECTIONS = 64
"""Opened beforehand of an open loop."""


class _Connection:
    __slots__ = ("body", "buffer", "due", "is_up", "name", "rest", "sent_at", "socket")

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = self.rest = self.name = b""
        self.is_up = False
        self.due: float | None = None
        """None while nothing is asked."""
        self.sent_at = 0.0
        self.body = 0


class Sender:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._requests = [prepare(task.host, task.path, task.media_type, body) for body in task.bodies]
        self._address = task.host, task.port
        self._most = task.load.users if isinstance(task.load, Users) else task.load.connections
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        self._number = 0
        self._under_way = 0
        self._is_starved = False
        """All connections wait, and something is due."""
        self._starved_until = 0.0
        start = time.monotonic()
        self._schedule = schedule_of(task.load, start, task.seed)
        self._tally = Tally(task, start + task.warm_s)
        self._sweep_at = start + _SWEEP_S

    def run(self) -> Sent:
        """Until all that was sent has ended, each by its answer or by its time."""
        for _ in range(min(self._most, _FIRST_CONNECTIONS)):
            self._free.append(self._connect())
        ends = self._tally.ends
        while True:
            now = time.monotonic()
            self._tally.tick(now)
            if now >= self._sweep_at:
                self._sweep(now)
            if self._schedule.due <= now and self._schedule.due < ends:
                self._start_due(_BURST)
            elif now >= ends and self._schedule.due >= ends and not self._under_way:
                break
            for fileno, events in self._ready(ends):
                self._handle(fileno, events)
                if self._free:  # at once, not after all that was answered has been read: the server may be idle
                    self._start_due(1)
        for connection in list(self._open.values()):
            self._close(connection)
        self._epoll.close()
        return self._tally.result()

    def _ready(self, ends: float) -> list[tuple[int, int]]:
        """What has happened; waits until something does or is due, by select for its microseconds."""
        found = self._epoll.poll(0)
        if found:
            return found
        until = self._sweep_at
        if self._schedule.due < ends and (self._free or len(self._open) < self._most):
            until = min(until, self._schedule.due)
        select.select((self._epoll,), (), (), max(0.0, until - time.monotonic()))
        return self._epoll.poll(0)

    def _start_due(self, most: int) -> None:
        schedule = self._schedule
        for _ in range(most):
            now = time.monotonic()
            if schedule.due > now or schedule.due >= self._tally.ends:
                return
            if self._free:
                connection = self._free.popleft()
            elif len(self._open) < self._most:
                connection = self._connect()
            else:
                self._is_starved = True
                return
            due = schedule.take()
            self._tally.started(due, now - max(due, self._starved_until))
            self._send(connection, due, now)

    def _connect(self) -> _Connection:
        connection = _Connection()
        self._tally.connections += 1
        self._open[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
        connection.socket.connect_ex(self._address)  # what it says is seen as an event
        return connection

    def _send(self, connection: _Connection, due: float, now: float) -> None:
        number = self._number
        self._number += 1
        self._under_way += 1
        connection.body = number % len(self._requests)
        data, connection.name = self._requests[connection.body].named(number)
        connection.due, connection.sent_at = due, now
        if connection.is_up:
            self._write(connection, data)
        else:
            connection.rest = data

    def _write(self, connection: _Connection, data: bytes) -> None:
        try:
            written = connection.socket.send(data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._lost(connection, "closed")
            return
        if written < len(data):
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
        elif connection.rest:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
        connection.rest = data[written:]

    def _handle(self, fileno: int, events: int) -> None:
        connection = self._open.get(fileno)
        if connection is None:  # lost by a write since it was seen
            return
        if not connection.is_up:
            if connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or events & select.EPOLLHUP:
                self._lost(connection, "connect")
                return
            connection.is_up = True
            self._epoll.modify(fileno, select.EPOLLIN)
        if events & select.EPOLLOUT and connection.rest:
            self._write(connection, connection.rest)
        if events & ~select.EPOLLOUT:
            self._read(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(connection, "closed")
            return
        if connection.due is None:
            self._tally.stray += 1
            self._lost(connection, "closed")
            return
        data = connection.buffer + data if connection.buffer else data
        try:
            found = read_answer(data)
        except Unreadable:
            self._lost(connection, "unread")
            return
        if found is None:
            connection.buffer = data
            return
        self._tally.stray += len(data) > found.size
        connection.buffer = b""
        self._answered(connection, found)

    def _answered(self, connection: _Connection, found: Answer) -> None:
        if found.status == 200:
            body = found.body.replace(connection.name, b"", 1)
            self._tally.unnamed += len(body) == len(found.body)
            self._tally.gave(connection.body, body)
            cause = OK
        else:
            cause = REFUSED if found.status == 429 else str(found.status)
        if found.retry_after_s is not None:
            self._tally.retry_after(found.retry_after_s)
        self._end(connection, cause, found.retry_after_s or 0.0)
        if found.closes:
            self._close(connection)
        else:
            self._free.append(connection)

    def _lost(self, connection: _Connection, cause: str) -> None:
        """The connection is gone, and what was asked on it has no answer."""
        self._close(connection)
        if connection.due is not None:
            self._end(connection, cause, _BACK_OFF_S)
        else:
            self._free.remove(connection)

    def _end(self, connection: _Connection, cause: str, wait_s: float) -> None:
        assert connection.due is not None
        now = time.monotonic()
        self._tally.ended(cause, connection.due, now, connection.sent_at)
        self._schedule.answered(now, wait_s)
        connection.due = None
        self._under_way -= 1
        if self._is_starved:
            self._is_starved, self._starved_until = False, now

    def _sweep(self, now: float) -> None:
        """End what waits too long: for its answer, or for a connection."""
        self._sweep_at = now + _SWEEP_S
        timeout_s = self._task.timeout_s
        for connection in list(self._open.values()):
            if connection.due is not None and now - connection.sent_at > timeout_s:
                self._lost(connection, "timeout")
        while self._schedule.due < min(now - timeout_s, self._tally.ends):
            self._tally.ended("unsent", self._schedule.take(), now, now)
            self._schedule.answered(now, 0.0)

    def _close(self, connection: _Connection) -> None:
        fileno = connection.socket.fileno()
        del self._open[fileno]
        self._epoll.unregister(fileno)
        connection.socket.close()


def allow_files(connections: int) -> None:
    """One for each connection. WorkFailed where the system's bound is lower."""
    wanted = connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise WorkFailed(f"{wanted:,} open files are needed to send (the system allows {hard:,}); raise `ulimit -Hn`.")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def send(task: Task) -> Sent:
    """WorkFailed where there may not be so many connections."""
    allow_files(task.load.users if isinstance(task.load, Users) else task.load.connections)
    gc.disable()  # nothing here goes round in a ring, and a collection is a late start
    return Sender(task).run()


if __name__ == "__main__":
    sys.exit(answer(send, Task))
