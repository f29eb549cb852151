"""A server within a program: one front and one predictor, each a thread of this process.

For the demo, for tests, and for whoever wants to serve from Python. `processes.run` is for serving in earnest.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pileus.bundles import Bundle, Manifest
from pileus.errors import PileusError, WorkFailed
from pileus.serving.addresses import bind, url_of
from pileus.serving.feedback import prepare_feedback
from pileus.serving.front import Front, new_event_loop
from pileus.serving.links import Link, ThreadLink
from pileus.serving.options import ServeOptions

__all__ = ["ServeOptions", "Server", "running"]

_READY_S = 60.0


class _Threads:
    """A supply of one predictor, a thread."""

    num_links = 1

    def __init__(self, bundle: Bundle, options: ServeOptions) -> None:
        self.manifest: Manifest = bundle.manifest
        self.onnx = bundle.onnx
        self._bundle, self._options = bundle, options

    def make_link(self) -> Link:
        settings = self._options.settings
        return ThreadLink(self._bundle, settings.limits, settings.admission.max_batch)


class Server:
    """`serve` blocks until it is told to stop, by `stop`, and drained; call it once."""

    def __init__(self, bundle: Bundle, options: ServeOptions, listener: socket.socket) -> None:
        self.url = url_of(listener, options.host)
        self.ready = threading.Event()
        """Set when the model is warm, and when the server ends."""
        self._bundle, self._options, self._listener = bundle, options, listener
        self._error: PileusError | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._front: Front | None = None
        self._stopped = False

    def serve(self) -> None:
        """A failure is left for `raise_failure`: this is for a thread."""
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except PileusError as error:
            self._error = error
        finally:
            self._listener.close()
            self.ready.set()

    def stop(self) -> None:
        """From any thread: readiness off, drain, end; told twice, end at once."""
        with self._lock:
            self._stopped = True
            if self._loop is not None and self._front is not None:
                self._loop.call_soon_threadsafe(self._front.stop)

    def raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    async def _serve(self) -> None:
        front = Front(self._options, self._listener, self._failed)
        with self._lock:
            self._loop, self._front = asyncio.get_running_loop(), front
            if self._stopped:
                front.stop()
        try:
            await front.serve(_Threads(self._bundle, self._options), self.ready.set)
        finally:
            with self._lock:
                self._loop = None

    def _failed(self, error: PileusError) -> None:
        self._error = error
        assert self._front is not None
        self._front.stop()


@contextmanager
def running(bundle: Bundle, options: ServeOptions) -> Iterator[str]:
    """A server in a thread of this process for the length of the block; yields its URL once the model is warm."""
    if options.feedback is not None:
        prepare_feedback(options.feedback, bundle.manifest)
    server = Server(bundle, options, bind(options.host, options.port))
    thread = threading.Thread(target=server.serve, name="pileus-server")
    thread.start()
    try:
        if not server.ready.wait(_READY_S):
            raise WorkFailed(f"the server was not ready within {_READY_S:g} s.")
        server.raise_failure()
        yield server.url
    finally:
        server.stop()
        thread.join(options.drain_s + _READY_S)
