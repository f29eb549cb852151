"""The Dask cluster that this process uses: one that is there, or one of our own for as long as it is needed."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.resource_tracker
import shutil
import tempfile
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import dask.config
from distributed import Client, Future, LocalCluster, wait
from distributed.comm import get_address_host
from distributed.utils import get_ip

from pileus.engines.hosts.address import Address, facing
from pileus.engines.places.handlers import handlers_kept
from pileus.errors import MissingService

_CONNECT_DEADLINE_S = 10
_CLOSE_DEADLINE_S = 20
_LOCAL = Address("127.0.0.1", 0)
_OWN = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.comm.timeouts.connect": "10s",
    "distributed.admin.log-format": "%(message)s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
}
"""As long as there is one of our own. Its processes wait beside workers that compute: they need not look at themselves
a hundred times a second."""
_NO_PAGES = {"dashboard": False, "dashboard_address": f"{_LOCAL.host}:0"}
"""A scheduler has a port of HTTP all the same, and without a choice always the same one."""


class DaskCluster:
    """`address`: of a scheduler, tcp://HOST:PORT; None: an own one, whose workers come as they are asked for."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._client: Client | None = None
        self._own: LocalCluster | None = None
        self._folder: str | None = None
        self._settings = contextlib.ExitStack()

    @property
    def is_own(self) -> bool:
        return self._address is None

    @property
    def client(self) -> Client:
        assert self._client is not None, "it is open"
        return self._client

    @property
    def dashboard(self) -> str:
        return str(self._client.dashboard_link or "") if self._client is not None and not self.is_own else ""

    def open(self) -> Address:
        """Where the cluster's workers call this process. MissingService where it is not there."""
        if self._client is None:
            if self.is_own:
                multiprocessing.resource_tracker.ensure_running()  # its start, within, would let Ctrl-C in again
            with handlers_kept():
                self._connect()
        if self.is_own:
            return _LOCAL
        return Address(get_ip(get_address_host(self.client.scheduler.address)), 0)

    def have(self, num_workers: int) -> None:
        """Begin to have so many workers, at least, where the cluster is our own."""
        if self._own is not None and len(self._own.worker_spec) < num_workers:
            self._own.scale(num_workers)

    def wait(self, futures: Iterable[Future], timeout_s: float, *, first: bool = False) -> None:
        """Until they are over, or the first of them is, or the time is."""
        with self.client.as_current(), contextlib.suppress(TimeoutError):
            wait(list(futures), timeout=timeout_s, return_when="FIRST_COMPLETED" if first else "ALL_COMPLETED")

    def tell_all(self, function: Callable[[str], None], word: str, timeout_s: float) -> None:
        """Call it in every worker, by the thread that serves it; who cannot within that time is left alone."""

        async def told() -> None:
            await self.client.run(function, word, on_error="ignore")

        with contextlib.suppress(TimeoutError, OSError):
            self.client.sync(told, callback_timeout=timeout_s)

    def close(self) -> None:
        """What was started here is gone."""
        if self._client is not None:
            self._client.close(timeout=_CLOSE_DEADLINE_S)
            self._client = None
        if self._own is not None:
            self._own.close(timeout=_CLOSE_DEADLINE_S)
            self._own = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._settings.close()

    def _connect(self) -> None:
        if self._address is None:
            self._folder = tempfile.mkdtemp(prefix="pileus-dask-")
            self._settings.enter_context(dask.config.set({**_OWN, "temporary-directory": self._folder}))
            self._own = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                host=_LOCAL.host,
                scheduler_kwargs=_NO_PAGES,
                memory_limit=None,
                local_directory=self._folder,
                silence_logs=logging.CRITICAL,
            )
        try:
            _check_answers(self._address)
            self._client = Client(self._own or self._address, timeout=_CONNECT_DEADLINE_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise MissingService(
                f"no Dask scheduler answers at {self._address}: {error}; start one (`dask scheduler`), or leave "
                "engine.address out for one of your own."
            ) from error


def _check_answers(address: str | None) -> None:
    """OSError at once where nobody does, which Dask itself tries for long."""
    there = urlsplit(address or "")
    if there.hostname and there.port:
        facing(there.hostname, there.port)
