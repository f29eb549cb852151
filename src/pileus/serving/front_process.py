"""A front as a process of its own: what the supervisor tells it, and what it tells the supervisor.

They are processes of one program of ours, so they speak by pickled values over a pipe that nobody else can reach.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import warnings
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from multiprocessing.sharedctypes import SynchronizedArray
from typing import NamedTuple

from pileus.errors import PileusError
from pileus.serving.frames import Load
from pileus.serving.front import Front, new_event_loop
from pileus.serving.links import Launched, Link, ProcessLink
from pileus.serving.logs import log_as_json
from pileus.serving.metrics import Values
from pileus.serving.options import ServeOptions
from pileus.serving.other_fronts import Asked, OtherFronts, Replied, replied
from pileus.serving.predictor import call_this_process
from pileus.serving.shadow import Shadow
from pileus.serving.watching import Content, Found

_log = logging.getLogger(__name__)


class Swap(NamedTuple):
    """To a front: change to these models."""

    found: Found


class Stop(NamedTuple):
    """To a front: drain and end."""

    others_serve: bool


class Given(NamedTuple):
    """To a front: the predictor process that it has asked for; its socket follows by `send_handle`."""

    pid: int


class Told(NamedTuple):
    """From a front: it is ready, asks for a predictor, serves `version` by now, or why it cannot.

    Or it asks the other fronts, or tells one of them.
    """

    ready: bool = False
    asks: bool = False
    version: str = ""
    shadow: str = ""
    refused: PileusError | None = None
    failed: PileusError | None = None
    asked: Asked | None = None
    replied: Replied | None = None


class Place(NamedTuple):
    """Of a front among the others."""

    page: SynchronizedArray[float]
    slot: int
    """Of the page: for its metrics."""
    first: bool
    """No front was ready before it: until it is, who asks is told so, and not left waiting."""


class _Processes:
    """A supply of predictors, each a process."""

    def __init__(
        self,
        content: Content,
        options: ServeOptions,
        launch: Callable[[], Awaitable[Launched]],
        *,
        background: bool = False,
    ) -> None:
        self.manifest, self.onnx = content.manifest, content.onnx
        self.num_links = options.predictors_a_front
        self._launch = launch
        settings = options.settings
        max_batch = settings.admission.max_batch
        self._load = Load(content.written, content.onnx, max_batch, settings.limits, background)

    def make_link(self) -> Link:
        return ProcessLink(self._load, self._launch)


def serve_as_front(
    pipe: Connection, listener: socket.socket, options: ServeOptions, found: Found, place: Place
) -> None:
    """The life of the process. Ctrl-C reaches it too; the supervisor says what to do, and by its end to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call_this_process("pileus-front")
    warnings.filterwarnings("ignore", module="PIL")  # of damaged pictures, in words of theirs: each would be kept
    if options.log_requests:
        log_as_json()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_Life(pipe, listener, options, place).live(found))


class _Life:
    def __init__(self, pipe: Connection, listener: socket.socket, options: ServeOptions, place: Place) -> None:
        self._pipe, self._options = pipe, options
        self._listener, self._place = listener, place
        self._asked: deque[asyncio.Future[Launched]] = deque()
        self._others = OtherFronts(place.slot, lambda asked: self._tell(Told(asked=asked)))
        self._tasks: set[asyncio.Task[None]] = set()
        self._front: Front | None = None
        self._swapping: asyncio.Task[None] | None = None
        self._is_ready = asyncio.Event()

    async def live(self, found: Found) -> None:
        values: Values = memoryview(self._place.page.get_obj()).cast("B").cast("d")
        try:
            self._front = front = Front(
                self._options, self._listener, self._failed, (values, self._place.slot), self._others.correct
            )
        except PileusError as error:
            self._tell(Told(failed=error))
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._hear)
        os.set_blocking(self._pipe.fileno(), True)  # uvloop has changed that; messages are read whole
        loop.add_signal_handler(signal.SIGTERM, front.stop)
        try:
            await front.serve(
                self._supply(found.production), lambda: self._ready(found), accept_at_once=self._place.first
            )
        except PileusError as error:
            self._tell(Told(failed=error))
        finally:
            loop.remove_reader(self._pipe.fileno())
            if self._swapping is not None:
                self._swapping.cancel()
                await asyncio.gather(self._swapping, return_exceptions=True)

    def _ready(self, found: Found) -> None:
        self._tell(Told(ready=True))
        self._is_ready.set()
        if self._swapping is None:
            self._swapping = asyncio.get_running_loop().create_task(self._follow(found))

    async def _follow(self, found: Found) -> None:
        assert self._front is not None
        shadow = None
        if found.shadow is not None and found.registry is not None:
            supply = _Processes(found.shadow, self._options, self._launch, background=True)
            share, instruments = self._options.shadow_share, self._front.service.instruments
            shadow = Shadow(supply, found.production.manifest, found.registry, share, instruments)
        await self._front.service.follow(shadow)

    def _supply(self, content: Content) -> _Processes:
        return _Processes(content, self._options, self._launch)

    async def _launch(self) -> Launched:
        given: asyncio.Future[Launched] = asyncio.get_running_loop().create_future()
        self._asked.append(given)
        self._tell(Told(asks=True))
        return await given

    def _given(self, pid: int) -> None:
        """In the order of asking; one that is not waited for any more ends when its socket is closed."""
        link = socket.socket(fileno=recv_handle(self._pipe))
        given = self._asked.popleft()
        if given.done():
            link.close()
        else:
            link.setblocking(False)
            given.set_result(Launched(pid, link))

    def _hear(self) -> None:
        assert self._front is not None
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):  # the supervisor has gone
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._front.stop()
            return
        if isinstance(message, Given):
            self._given(message.pid)
        elif isinstance(message, Stop):
            self._front.stop(others_serve=message.others_serve)
        elif isinstance(message, Asked):
            task = asyncio.get_running_loop().create_task(self._reply(self._front, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(message, Replied):
            self._others.hear(message)
        elif isinstance(message, Swap):
            self._swapping = asyncio.get_running_loop().create_task(self._swap(self._swapping, message.found))

    async def _reply(self, front: Front, asked: Asked) -> None:
        assert front.service.feedback is not None
        self._tell(Told(replied=replied(asked, await front.service.feedback.correct(asked.correct))))

    async def _swap(self, before: asyncio.Task[None] | None, found: Found) -> None:
        assert self._front is not None
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        await self._is_ready.wait()
        version = found.production.manifest.version
        try:
            if self._front.service.manifest.version != version:
                await self._front.service.swap(self._supply(found.production))
        except PileusError as error:
            self._tell(Told(refused=error))
            return
        await self._follow(found)
        self._tell(Told(version=version, shadow=found.shadow.manifest.version if found.shadow else ""))

    def _failed(self, error: PileusError) -> None:
        assert self._front is not None
        self._tell(Told(failed=error))
        self._front.stop()

    def _tell(self, told: Told) -> None:
        with suppress(OSError):  # the supervisor has gone: that is heard
            self._pipe.send(told)
