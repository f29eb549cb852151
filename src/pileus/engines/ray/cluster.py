"""The Ray cluster that this process uses: one that is there, or one of our own for as long as it is needed.

Ray's own start changes how this process takes SIGTERM and what it logs; both are left as they were.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ray
import ray._private.worker
from ray.util import get_node_ip_address

from pileus.engines.hosts.address import Address, facing
from pileus.engines.places.handlers import handlers_kept
from pileus.engines.places.stories import telling_line
from pileus.errors import MissingService, UsageError

_STORE_BYTES = 80 << 20
"""Of an own cluster's store of objects: what is trained on does not go through it."""
_TELLS = "RAY_USAGE_STATS_ENABLED"
_LONGEST_FOLDER = 43
"""So that the sockets that Ray puts below it have names that the system takes."""
_FINEST = 10_000
"""Parts of a core that Ray counts."""
_LOCAL = Address("127.0.0.1", 0)


class RayCluster:
    """`address`: as `ray.init` takes it; None: what this process is connected to already, else an own cluster."""

    def __init__(self, address: str | None, cores: int) -> None:
        if address is not None and address.startswith("ray://"):
            raise UsageError(
                f"Ray's client keeps the driver outside of the cluster, where no worker can call it (got {address}); "
                "name the cluster's own address, HOST:6379, from a machine that its nodes reach."
            )
        self._address = address
        self._cores = cores
        self._is_ours = False
        """What `close` ends: this process's connection."""
        self._is_own = False
        """The cluster itself was started here."""
        self._folder: str | None = None
        self.dashboard = ""

    def open(self) -> Address:
        """Where the cluster's nodes call this process. MissingService where it is not there, UsageError where it is of
        other versions, or this process is another's already."""
        if not ray.is_initialized():
            with handlers_kept(), _quiet():
                self._connect()
        elif not self._is_ours and self._address not in (None, "auto", here := ray.get_runtime_context().gcs_address):
            raise UsageError(
                f"this process is connected to the Ray cluster at {here} already (got engine.address={self._address}); "
                "call ray.shutdown() first, or leave the address out."
            )
        return _LOCAL if self._is_own else Address(get_node_ip_address(), 0)

    def share(self, cores: int, num: int) -> float:
        """What Ray is to count for each of so many at once: all of an own cluster's cores are shared among them."""
        if not self._is_own or cores * num <= self._cores:
            return cores
        share = self._cores / num
        return int(share) if share >= 1 else int(share * _FINEST) / _FINEST

    def close(self) -> None:
        """What was started here is gone."""
        if self._is_ours:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
            self._is_ours = self._is_own = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self.dashboard = ""

    def _connect(self) -> None:
        quiet = {"configure_logging": False, "log_to_driver": False}
        self._is_own = self._address is None
        try:
            if self._address is not None:
                _check_answers(self._address)
                context = ray.init(address=self._address, **quiet)
            else:
                self._folder = _short_folder()
                context = ray.init(
                    address="local",
                    num_cpus=self._cores,
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    _temp_dir=self._folder,
                    **quiet,
                )
        except ConnectionError as error:
            raise MissingService(
                f"no Ray cluster answers at {self._address}: {_first(error)}; start one (`ray start --head`), or leave "
                "engine.address out for one of your own."
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise UsageError(f"Ray cannot be used at {self._address or 'this machine'}: {_first(error)}") from error
        except Exception as error:  # of that very class, where a node of its own does not start in time
            raise MissingService(f"Ray did not start on this machine: {_first(error)}; run it again.") from error
        self._is_ours = True
        ray._private.worker._worker_logs_enabled = False  # nothing else keeps Ray's own tales of deaths off stdout
        self.dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""


def _check_answers(address: str) -> None:
    """ConnectionError at once where nobody does, which Ray itself tries for long."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            facing(host, int(port))
        except OSError as error:
            raise ConnectionError(error.strerror or str(error)) from error


def _short_folder() -> str:
    folder = tempfile.mkdtemp(prefix="ray-")
    if len(folder) > _LONGEST_FOLDER:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    return folder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray tells of itself as it starts, to this terminal and to its makers."""
    logger = logging.getLogger("ray")
    level, told = logger.level, os.environ.get(_TELLS)
    os.environ.setdefault(_TELLS, "0")
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if told is None:
            del os.environ[_TELLS]


def _first(error: Exception) -> str:
    return telling_line(error).rstrip(".")
