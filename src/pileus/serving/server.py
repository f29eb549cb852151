"""One serving process: a loaded bundle behind uvicorn, from the socket to the last drained answer."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from pileus.bundles import Bundle
from pileus.errors import UsageError, WorkFailed
from pileus.serving.addresses import bind, is_loopback, url_of
from pileus.serving.app import Application
from pileus.serving.protocol import BoundedProtocol
from pileus.serving.service import Settings
from pileus.spec.values import Spec

_READY_S = 60.0


class ServeOptions(Spec, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8000
    """0 finds a free one."""
    api_key: str | None = None
    allow_anonymous: bool = False
    processes: int = 1
    drain_s: float = 10.0
    """After a signal to stop: how long what was begun may take to be answered."""
    settings: Settings = Settings()

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise UsageError(f"processes must be 1 or more (got {self.processes}).")
        if not is_loopback(self.host) and not self.api_key and not self.allow_anonymous:
            raise UsageError(
                f"{self.host} can be reached from other machines, so a key is required: set PILEUS_API_KEY, "
                "or say --allow-anonymous to let everyone in."
            )

    @property
    def asked_key(self) -> str | None:
        """The key that every request must bring; None lets everyone in."""
        return None if self.allow_anonymous else self.api_key or None


class Server:
    """`run` blocks until it is told to stop, by a signal or by `stop`, and drained; call it once."""

    def __init__(self, bundle: Bundle, options: ServeOptions, listener: socket.socket) -> None:
        self.url = url_of(listener, options.host)
        self.ready = threading.Event()
        """Set when the model is warm, and when the server ends."""
        self._listener = listener
        self._error: BaseException | None = None
        self._tell: Callable[[str], None] = lambda url: None
        self._app = Application(
            bundle, options.settings, api_key=options.asked_key, ready=self._became_ready, failed=self._failed
        )
        self._server = _Uvicorn(_config(self._app, options), self.stop)

    def run(self, ready: Callable[[str], None] = lambda url: None, *, parent: int | None = None) -> int | None:
        """Calls `ready` with the URL when the model is warm; returns the signal that ended it.

        `parent` is a descriptor that becomes readable when the process that this one serves for has gone.
        WorkFailed where the model cannot answer.
        """
        self._tell = ready
        self._server.parent = parent
        self.serve()
        self.raise_failure()
        return self._server.ended_by

    def serve(self) -> None:
        """As `run`, but a failure is left for `raise_failure`: for a thread."""
        try:
            self._server.run([self._listener])
        finally:
            self._listener.close()
            self.ready.set()

    def stop(self) -> None:
        """From any thread: readiness off, drain, end; told twice, end at once."""
        self._app.drain()
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = True

    def raise_failure(self) -> None:
        if self._error is not None:
            raise WorkFailed(f"the model cannot answer any more: {self._error}") from self._error

    def _became_ready(self) -> None:
        self.ready.set()
        self._tell(self.url)

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self._server.should_exit = True


@contextmanager
def running(bundle: Bundle, options: ServeOptions) -> Iterator[str]:
    """A server in a thread of this process for the length of the block; yields its URL once the model is warm."""
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


class _Uvicorn(uvicorn.Server):
    """uvicorn whose signals are ours: a stop is a drain and an ordinary end, not a signal raised again."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        self.parent: int | None = None
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if _in_main_thread() else ()
        for number in signals:
            loop.add_signal_handler(number, self._asked, number)
        if self.parent is not None:
            loop.add_reader(self.parent, self._orphaned, loop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _asked(self, number: int) -> None:
        self.ended_by = number
        self._stop()

    def _orphaned(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self.parent is not None
        loop.remove_reader(self.parent)
        self._stop()


def _config(app: Application, options: ServeOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(options.drain_s)),
        limit_concurrency=4 * options.settings.max_under_way,
    )


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
