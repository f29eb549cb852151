"""The front's end of a predictor: in a process of its own, or in a thread where the server is part of a program.

A process can die or be stopped without any connection of the front; a thread is simpler and can not be replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol, cast

import msgspec

from pileus.bundles import Bundle, Manifest
from pileus.errors import PeerLost
from pileus.serving.answering import Answerer
from pileus.serving.frames import (
    Batch,
    FromPredictor,
    Load,
    Ready,
    Replies,
    Splitter,
    Unable,
    decode_from_predictor,
    framed,
)
from pileus.serving.requests import Limits

_START_S = 30.0
_REAP_S = 2.0


class Holder(Protocol):
    """Who is told by a link; on the loop that started it."""

    def link_ready(self, link: Link, ready: Ready) -> None: ...

    def link_replied(self, link: Link, replies: Replies) -> None: ...

    def link_lost(self, link: Link, reason: str) -> None:
        """Once, and nothing after it; also of a link that could not start, and of one that was closed."""
        ...


class Link(Protocol):
    can_be_killed: bool
    pid: int
    """Of the process that computes; 0 before it is known."""

    async def start(self, holder: Holder) -> None:
        """Begins it; the holder is told how that ended."""
        ...

    def send(self, batch: Batch) -> None: ...

    def kill(self) -> None: ...

    async def close(self) -> None:
        """After what it has been sent. It has ended when this returns."""
        ...


class Supply(Protocol):
    """Where predictors of one model come from."""

    manifest: Manifest
    onnx: bytes
    num_links: int

    def make_link(self) -> Link: ...


class Launched(NamedTuple):
    """A new predictor process."""

    pid: int
    link: socket.socket


class ProcessLink(asyncio.Protocol):
    can_be_killed = True

    def __init__(self, load: Load, launch: Callable[[], Awaitable[Launched]]) -> None:
        self._load, self._launch = load, launch
        self.pid = 0
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._process: int | None = None
        """A descriptor of the process, which no other can take the place of."""
        self._holder: Holder | None = None
        self._reason = ""
        self._ended = asyncio.Event()

    async def start(self, holder: Holder) -> None:
        self._holder = holder
        try:
            async with asyncio.timeout(_START_S):
                self.pid, link = await self._launch()
            with suppress(ProcessLookupError):  # dead already: the link will tell
                self._process = os.pidfd_open(self.pid)
            transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=link)
        except (OSError, TimeoutError) as error:
            self._end(f"it could not be started: {str(error) or 'no answer'}")
        else:
            transport.write(framed(self._load))

    def send(self, batch: Batch) -> None:
        if self._transport is not None:  # else it is lost, which is about to be told
            self._transport.write(framed(batch))

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.write_eof()
        try:
            async with asyncio.timeout(_REAP_S):
                await self._ended.wait()
        except TimeoutError:
            self.kill()
            await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._holder is not None
        try:
            for frame in self._splitter.fed(data):
                _tell(self._holder, self, decode_from_predictor(frame))
        except (PeerLost, msgspec.MsgspecError) as error:
            self.refuse(f"it speaks nonsense: {error}")
            self.kill()

    def refuse(self, reason: str) -> None:
        """It has said why it cannot start; it ends by itself."""
        self._reason = reason

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._reason or "it died")

    def _end(self, reason: str) -> None:
        self._transport = None
        self.kill()  # one that has closed its socket has nothing left to do
        if self._process is not None:
            os.close(self._process)
            self._process = None
        self._ended.set()
        assert self._holder is not None
        self._holder.link_lost(self, reason)


class ThreadLink:
    can_be_killed = False

    def __init__(self, bundle: Bundle, limits: Limits, max_batch: int) -> None:
        self._answerer, self._max_batch = Answerer(bundle, limits), max_batch
        self.pid = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pileus-predictor")
        self._holder: Holder | None = None
        self._reason = ""
        self._closed = False

    async def start(self, holder: Holder) -> None:
        self._holder = holder
        self._do(self._thread.submit(self._answerer.warm_up, self._max_batch))

    def send(self, batch: Batch) -> None:
        self._do(self._thread.submit(self._answerer.answer, batch))

    def kill(self) -> None:
        raise AssertionError("a thread cannot be killed")

    def refuse(self, reason: str) -> None:
        self._reason = reason

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _do(self, work: Future[Ready] | Future[Replies]) -> None:
        loop = asyncio.get_running_loop()

        def done(ended: Future[Ready] | Future[Replies]) -> None:
            if not ended.cancelled():
                loop.call_soon_threadsafe(self._done, ended)

        work.add_done_callback(done)

    def _done(self, work: Future[Ready] | Future[Replies]) -> None:
        assert self._holder is not None
        error = work.exception()
        if self._closed:
            return
        if error is None:
            _tell(self._holder, self, work.result())
        else:
            self._closed = True
            self._holder.link_lost(self, str(error))


def _tell(holder: Holder, link: ProcessLink | ThreadLink, message: FromPredictor) -> None:
    if isinstance(message, Replies):
        holder.link_replied(link, message)
    elif isinstance(message, Ready):
        holder.link_ready(link, message)
    elif isinstance(message, Unable):
        link.refuse(message.reason)
