"""The supervisor: starts fronts on one listening socket, watches them, and passes on what signals ask for.

    SIGTERM, SIGINT   drain and end
    SIGHUP            read the bundle's place again and change to it, where it can be loaded and warmed; a registry's
                      changes are noticed by themselves
    SIGUSR2           restart the fronts, one after another, each after its successor is ready

It serves nothing itself. The kernel hands each connection to one of the fronts. A front that dies is started again, a
few times a minute at most; none outlives the supervisor, however it ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import send_handle
from multiprocessing.sharedctypes import SynchronizedArray

from pileus.errors import PileusError, WorkFailed
from pileus.serving.addresses import bind, url_of
from pileus.serving.feedback import UNKNOWN, prepare_feedback
from pileus.serving.front_process import Given, Place, Stop, Swap, Told, serve_as_front
from pileus.serving.instruments import Instruments, no_readings, num_places
from pileus.serving.logs import log_as_json
from pileus.serving.options import ServeOptions
from pileus.serving.other_fronts import Asked, Replied, replied
from pileus.serving.predictor import predict_for
from pileus.serving.telemetry import check_traces
from pileus.serving.watching import Found, Watcher

_RESTARTS = 5
_PER_S = 60.0
_KILL_S = 5.0
"""After the time to drain: until what still runs is killed."""
_END_S = 1.0
_BUFFER_BYTES = 1 << 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)

_log = logging.getLogger(__name__)


def forking() -> ForkServerContext:
    """Processes are forked from one that has no threads, no sockets and no state but what it has imported.

    So a new predictor is there in milliseconds, and none begins with another's state.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pileus.serving.front_process", "pileus.serving.predictor", "onnxruntime", "uvloop"]
    )
    return context


def run(place: str, options: ServeOptions, ready: Callable[[str], None]) -> int | None:
    """Serve the bundle at `place` until a signal to stop; returns the signal.

    `ready` is called once with the URL, when all are ready. Errors: as `load` and `bind`; WorkFailed.
    """
    if options.traces:
        check_traces()
    if options.log_requests:
        log_as_json()
    watcher = Watcher(place)
    found = watcher.read_first()
    if options.feedback is not None:
        prepare_feedback(options.feedback, found.production.manifest)
    listener = bind(options.host, options.port)
    try:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before it is imported, as bundles.predictor says
        forking()
        multiprocessing.forkserver.ensure_running()  # imports while the rest is made ready
        with _Watch() as watch:
            watcher.start(watch.wake)
            return _Supervisor(watcher, found, options, listener, watch).run(ready)
    finally:
        watcher.stop()
        listener.close()


class _Watch:
    """Signals, as something that can be waited on together with processes."""

    def __init__(self) -> None:
        self.received: deque[int] = deque()
        self.socket, self._waker = socket.socketpair()

    def __enter__(self) -> _Watch:
        self.socket.setblocking(False)
        self._waker.setblocking(False)
        self._before_fd = signal.set_wakeup_fd(self._waker.fileno())
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        self.socket.close()
        self._waker.close()

    def wake(self) -> None:
        """From any thread: there is something to see to."""
        with suppress(OSError):  # full: it is awake already
            self._waker.send(b"\0")

    def _note(self, number: int, frame: object) -> None:
        self.received.append(number)


class _Member:
    """One front, seen from here."""

    def __init__(self, process: ForkServerProcess, pipe: Connection, slot: int) -> None:
        self.process, self.pipe, self.slot = process, pipe, slot
        self.ready = self.leaving = False
        self.successor: _Member | None = None
        """Whose start it waits for before it leaves."""

    def tell(self, message: Swap | Stop | Given | Asked | Replied) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            return  # it has died: its sentinel tells


class _Supervisor:
    def __init__(
        self, watcher: Watcher, found: Found, options: ServeOptions, listener: socket.socket, watch: _Watch
    ) -> None:
        self._watcher, self._found, self._options = watcher, found, options
        self._listener, self._watch = listener, watch
        self._proposed: Found | None = None
        self._members: list[_Member] = []
        self._predictors: list[ForkServerProcess] = []
        self._deaths: list[float] = []
        self._were_ready = False
        """All of the first fronts."""
        self._to_restart: deque[_Member] = deque()
        num_slots = 2 * options.num_fronts + 2  # two generations, and one for what is counted here
        self._page: SynchronizedArray[float] = forking().Array("d", num_slots * num_places())
        values = memoryview(self._page.get_obj()).cast("B").cast("d")
        self._instruments = Instruments(no_readings(), values, 0)
        self._free_slots = deque(range(1, num_slots))

    def run(self, ready: Callable[[str], None]) -> int | None:
        ended_by: int | None = None
        try:
            for _ in range(self._options.num_fronts):
                self._start_one()
            while ended_by is None:
                self._wait(None)
                ended_by = self._obey()
                self._take_news()
                if not self._were_ready and all(member.ready for member in self._members):
                    self._were_ready = True
                    ready(url_of(self._listener, self._options.host))
        finally:
            self._stop_all()
        return ended_by

    def _start_one(self) -> _Member:
        ours, theirs = forking().Pipe()
        slot = self._free_slots.popleft()
        process = forking().Process(
            target=serve_as_front,
            args=(theirs, self._listener, self._options, self._found, Place(self._page, slot, not self._were_ready)),
            name="pileus-front",
        )
        process.start()
        theirs.close()
        member = _Member(process, ours, slot)
        self._members.append(member)
        return member

    def _launch_predictor(self, member: _Member) -> None:
        self._predictors = [process for process in self._predictors if process.is_alive()]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            process = forking().Process(target=predict_for, args=(theirs,), name="pileus-predict", daemon=True)
            process.start()
            self._predictors.append(process)
            assert process.pid is not None
            member.tell(Given(process.pid))
            with suppress(OSError):  # the front has died: its sentinel tells
                send_handle(member.pipe, ours.fileno(), member.process.pid)

    def _wait(self, timeout_s: float | None) -> None:
        pipes = {member.pipe: member for member in self._members if not member.pipe.closed}
        sentinels = {member.process.sentinel: member for member in self._members}
        for found in wait([self._watch.socket, *pipes, *sentinels], timeout_s):
            if isinstance(found, Connection):
                self._hear(pipes[found])
            elif isinstance(found, int):
                self._ended(sentinels[found])
            else:
                self._watch.socket.recv(4096)

    def _hear(self, member: _Member) -> None:
        try:
            told: Told = member.pipe.recv()
        except (EOFError, OSError):
            member.pipe.close()  # its sentinel tells the rest
            return
        if told.asks:
            self._launch_predictor(member)
        elif told.asked is not None:
            self._ask_others(member, told.asked)
        elif told.replied is not None:
            for asking in self._members:
                if asking.slot == told.replied.slot:
                    asking.tell(told.replied)
        elif told.failed is not None:
            if member.successor is None and not self._is_successor(member):
                raise told.failed
            _log.error("a front could not be restarted: %s", told.failed)
        elif told.refused is not None:
            self._tell_refused(told.refused)
        elif told.version:
            if self._proposed is not None and self._proposed.production.manifest.version == told.version:
                self._found = self._proposed
            shadow = f" and compares it with {told.shadow[:16]}" if told.shadow else ""
            _log.warning("a front now serves version %s%s", told.version[:16], shadow)
        elif told.ready:
            member.ready = True
            for former in self._members:
                if former.successor is member:
                    former.leaving = True
                    former.tell(Stop(others_serve=True))

    def _ask_others(self, member: _Member, asked: Asked) -> None:
        others = [other for other in self._members if other is not member and other.ready]
        for other in others:
            other.tell(asked._replace(num_asked=len(others)))
        if not others:
            member.tell(replied(asked, UNKNOWN))

    def _is_successor(self, member: _Member) -> bool:
        return any(former.successor is member for former in self._members)

    def _ended(self, member: _Member) -> None:
        while not member.pipe.closed and member.pipe.poll():
            self._hear(member)
        member.process.join()
        exit_code = member.process.exitcode
        member.pipe.close()
        self._members.remove(member)
        self._instruments.forget_slot(member.slot)
        self._free_slots.append(member.slot)
        if member.leaving:
            self._restart_next()
            return
        for former in self._members:
            if former.successor is member:
                former.successor = None
                _log.error("a front could not be restarted (exit code %s); the former goes on", exit_code)
                self._to_restart.clear()
                return
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < _PER_S), now]
        self._instruments.fronts_lost.add()
        if len(self._deaths) > _RESTARTS:
            raise WorkFailed(
                f"serving processes died {len(self._deaths)} times within {_PER_S:g} s "
                f"(the last with exit code {exit_code}); see the messages above."
            )
        _log.warning("a front died (exit code %s); another takes its place", exit_code)
        if member.successor is None:
            self._start_one()

    def _obey(self) -> int | None:
        """The signal to stop, if there is one; others are done."""
        while self._watch.received:
            number = self._watch.received.popleft()
            if number == signal.SIGHUP:
                self._watcher.look()
            elif number == signal.SIGUSR2:
                if not self._to_restart and not any(member.successor for member in self._members):
                    self._to_restart = deque(self._members)
                    self._restart_next()
            else:
                return number
        return None

    def _take_news(self) -> None:
        """What the place has to be served by now, or why it cannot be."""
        while self._watcher.news:
            found = self._watcher.news.popleft()
            if isinstance(found, PileusError):
                self._instruments.swaps.add("refused")
                self._tell_refused(found)
                continue
            self._proposed = found
            for member in self._members:
                member.tell(Swap(found))

    def _tell_refused(self, error: PileusError) -> None:
        _log.error("the model at %s is not taken; the former goes on serving: %s", self._watcher.place, error)

    def _restart_next(self) -> None:
        while self._to_restart:
            former = self._to_restart.popleft()
            if former in self._members and not former.leaving:
                former.successor = self._start_one()
                return

    def _stop_all(self) -> None:
        for member in self._members:
            member.leaving = True
            member.tell(Stop(others_serve=False))
        self._to_restart.clear()
        self._watch.received.clear()
        deadline = time.monotonic() + self._options.grace_s + self._options.drain_s + _KILL_S
        while self._members and (left_s := deadline - time.monotonic()) > 0 and not self._watch.received:
            try:
                self._wait(left_s)
            except PileusError as error:
                _log.error("%s", error)
        for member in self._members:
            member.process.kill()
            member.process.join(_KILL_S)
            member.pipe.close()
        for predictor in self._predictors:  # they end with their fronts, but for one that is stopped by a signal
            predictor.join(_END_S)
            predictor.kill()
            predictor.join(_KILL_S)
