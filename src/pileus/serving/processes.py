"""Several serving processes on one listening socket, watched by one that does not serve.

The kernel hands each connection to one of them. One that dies is started again, a few times a minute at most;
all drain and end together; none outlives the watcher, however it ends.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from pileus.bundles import load
from pileus.bundles.load import read_verified
from pileus.errors import PileusError, WorkFailed
from pileus.serving.addresses import bind, url_of
from pileus.serving.server import ServeOptions, Server
from pileus.store import open_store

_RESTARTS = 5
_PER_S = 60.0
_KILL_S = 5.0
"""After the time to drain: until what still runs is killed."""

_context = multiprocessing.get_context("spawn")


def run(place: str, options: ServeOptions, ready: Callable[[str], None]) -> int | None:
    """Serve the bundle at `place` until a signal, by `options.processes` processes; returns the signal.

    `ready` is called once with the URL, when all are ready. Errors: as `load` and `bind`; WorkFailed.
    """
    if options.processes == 1:
        return Server(load(place), options, bind(options.host, options.port)).run(ready)
    read_verified(open_store(place))
    listener = bind(options.host, options.port)
    try:
        with _Watch() as watch:
            return _Crew(place, options, listener, watch).run(ready)
    finally:
        listener.close()


class _Watch:
    """Signals to stop, as something that can be waited on together with processes."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.socket, self._waker = socket.socketpair()

    def __enter__(self) -> _Watch:
        self._waker.setblocking(False)
        self._before_fd = signal.set_wakeup_fd(self._waker.fileno())
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        self.socket.close()
        self._waker.close()

    def _note(self, number: int, frame: object) -> None:
        self.received = number


class _Crew:
    def __init__(self, place: str, options: ServeOptions, listener: socket.socket, watch: _Watch) -> None:
        self._place, self._options, self._listener, self._watch = place, options, listener, watch
        self._members: dict[BaseProcess, Connection] = {}
        self._deaths: list[float] = []

    def run(self, ready: Callable[[str], None]) -> int | None:
        try:
            for _ in range(self._options.processes):
                self._start_one()
            self._until_signal(lambda: ready(url_of(self._listener, self._options.host)))
        finally:
            self._stop_all()
        return self._watch.received

    def _start_one(self) -> None:
        ours, theirs = _context.Pipe(duplex=False)
        member = _context.Process(
            target=_serve, args=(self._place, self._options, self._listener, theirs), name="pileus-serving"
        )
        member.start()
        theirs.close()
        self._members[member] = ours

    def _until_signal(self, all_ready: Callable[[], None]) -> None:
        waiting_for, told = set(self._members), False
        while self._watch.received is None:
            pipes = {self._members[member]: member for member in waiting_for}
            sentinels = {member.sentinel: member for member in self._members}
            for found in wait([self._watch.socket, *pipes, *sentinels]):
                if isinstance(found, Connection) and found in pipes:
                    self._hear(found)
                    waiting_for.discard(pipes[found])
                elif isinstance(found, int):
                    dead = sentinels[found]
                    waiting_for.discard(dead)
                    self._replace(dead)
            if not waiting_for and not told:
                told = True
                all_ready()

    def _hear(self, pipe: Connection) -> None:
        """None is ready; an error is why it can never be. A closed pipe is a death, and waited on as such."""
        try:
            error = pipe.recv()
        except EOFError:
            return
        if error is not None:
            raise error

    def _replace(self, dead: BaseProcess) -> None:
        dead.join()
        self._members.pop(dead).close()
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < _PER_S), now]
        if len(self._deaths) > _RESTARTS:
            raise WorkFailed(
                f"serving processes died {len(self._deaths)} times within {_PER_S:g} s "
                f"(the last with exit code {dead.exitcode}); see the messages above."
            )
        self._start_one()

    def _stop_all(self) -> None:
        for member in self._members:
            member.terminate()
        deadline = time.monotonic() + self._options.drain_s + _KILL_S
        for member, pipe in self._members.items():
            member.join(max(0.0, deadline - time.monotonic()))
            if member.is_alive():
                member.kill()
                member.join()
            pipe.close()


def _serve(place: str, options: ServeOptions, listener: socket.socket, pipe: Connection) -> None:
    """The life of one process of the crew. Ctrl-C reaches the watcher too, which says what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watcher = multiprocessing.parent_process()
    assert watcher is not None
    try:
        Server(load(place), options, listener).run(lambda url: pipe.send(None), parent=watcher.sentinel)
    except PileusError as error:
        pipe.send(error)
        raise SystemExit(error.exit_code) from error
