"""A front: the event loop that accepts, reads and answers; it computes nothing itself."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from pileus.errors import PileusError
from pileus.serving.app import Application
from pileus.serving.connection import Connection
from pileus.serving.feedback import Feedback, Others, nobody
from pileus.serving.links import Supply
from pileus.serving.metrics import Values
from pileus.serving.options import ServeOptions
from pileus.serving.service import Service
from pileus.serving.telemetry import Traces

_log = logging.getLogger(__name__)
_TICK_S = 0.05
_SWEEP_TICKS = 2
_ACCEPTED_AT_ONCE = 64
"""Then requests that have come are read, and other fronts have their turn."""
_SPARE_FILES = 64
_NO_FILES_S = 0.2
_LEAVE_S = 5.0
"""While others go on serving: how long an idle client may take to ask once more and be told to connect anew."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - where there is none, asyncio's own does
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Front:
    """`serve` is called once; all else from the same loop while it runs."""

    def __init__(
        self,
        options: ServeOptions,
        listener: socket.socket,
        failed: Callable[[PileusError], None] = lambda error: None,
        slot: tuple[Values, int] | None = None,
        others: Others = nobody,
    ) -> None:
        """`failed` is called when nothing can be answered any more; `slot` is a page of metrics and the place in it;
        `others` asks the other fronts about an answer that is to be corrected. Errors: as Traces."""
        self._options, self._listener = options, listener
        self._loop = asyncio.get_running_loop()
        self._traces = Traces() if options.traces else None
        feedback = None if options.feedback is None else Feedback(options.feedback)
        self.service = Service(options.settings, self._num_connections, failed, slot, feedback)
        self._app = Application(
            self.service,
            api_key=options.asked_key,
            max_body_memory=options.body_memory_bytes,
            left=self._left,
            others=others,
            log=options.log_requests,
            traces=self._traces,
        )
        self._accepting = False
        self._adopting: set[asyncio.Task[None]] = set()
        self._most = _allow_files(options.max_connections)
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._others_serve = False

    async def serve(self, supply: Supply, ready: Callable[[], None], *, accept_at_once: bool = True) -> None:
        """Until it is stopped and drained. WorkFailed where the model cannot answer.

        Where it does not `accept_at_once`, who connects waits, or goes to another front, until the model is warm.
        """
        ticking = self._loop.create_task(self._tick(), name="pileus-tick")
        self._listener.setblocking(False)
        if accept_at_once:
            self._accept_again()
        starting = self._loop.create_task(self._start(supply, ready), name="pileus-start")
        stopping = self._loop.create_task(self._stop.wait(), name="pileus-stop")
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
            await self._drain()
        finally:
            self._accept_no_more()
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, *self._adopting, return_exceptions=True)
            await self.service.stop()
            for connection in list(self._app.connections):
                connection.abort()
            if self._traces is not None:
                await self._traces.close()
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    def stop(self, *, others_serve: bool = False) -> None:
        """Readiness off, drain, end; told twice, end at once. `others_serve`: clients may go to them in time."""
        if self._stop.is_set():
            self._at_once.set()
        self._others_serve = others_serve
        self.service.drain()
        self._stop.set()

    async def _start(self, supply: Supply, ready: Callable[[], None]) -> None:
        await self.service.start(supply)
        self._accept_again()
        ready()

    async def _drain(self) -> None:
        if not self._others_serve:
            await self._waits(self._options.grace_s)
            self._accept()
        self._accept_no_more()
        self._app.closing = True
        deadline = time.monotonic() + self._options.drain_s
        leave = time.monotonic() + (min(_LEAVE_S, self._options.drain_s / 2) if self._others_serve else 0)
        while (now := time.monotonic()) < deadline and not self._at_once.is_set():
            await asyncio.gather(*self._adopting, return_exceptions=True)
            if now >= leave:
                for connection in list(self._app.connections):
                    connection.hang_up()
            if not self._app.connections:
                break
            await self._waits(0.01)

    async def _waits(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._at_once.wait(), seconds)

    async def _tick(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            self.service.tick(now)
            number += 1
            if number % _SWEEP_TICKS == 0:
                for connection in list(self._app.connections):
                    connection.sweep(now)
                self.service.instruments.note_now()

    def _num_connections(self) -> int:
        return len(self._app.connections)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._app.connections) + len(self._adopting) >= self._most:
                self._accept_no_more()
                return
            try:
                connected, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                _log.warning("no connection can be accepted: %s", error)
                self._accept_no_more()
                self._loop.call_later(_NO_FILES_S, self._accept_again)
                return
            connected.setblocking(False)
            task = self._loop.create_task(self._adopt(connected))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    async def _adopt(self, connected: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Connection(self._app, self._options.bounds), connected)
        except OSError:  # it has gone already
            connected.close()

    def _left(self) -> None:
        if not self._accepting and not self._stop.is_set():
            self._accept_again()

    def _accept_again(self) -> None:
        if not self._accepting and not self._stop.is_set():
            self._accepting = True
            self._loop.add_reader(self._listener, self._accept)

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener)


def _allow_files(num_connections: int) -> int:
    """As many connections as this process may have files for; the limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(1, min(num_connections, soft - _SPARE_FILES))
    return num_connections
