"""Real clusters of Ray, Dask and Spark on loopback, each of several processes that can be killed one by one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.servers.process import end, free_ports

_READY_S = 60.0
_LOOK_S = 0.05
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}


class Cluster(NamedTuple):
    address: str
    slots: int
    """Places that fit at once."""
    node_of: Callable[[psutil.Process], psutil.Process]
    """The process of the cluster below which a place lives, and with which it ends."""
    place: Callable[[list[str]], bool]
    """Whether a command line is that of the process in which a place may live."""


class _Begun:
    """Processes of one cluster, which end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        log = self._folder / f"log-{len(self._processes)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **_ENVIRONMENT, "DASK_TEMPORARY_DIRECTORY": str(self._folder)},
            )
        self._processes.append(process)
        return process

    def wait_for(self, is_ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_S
        while not is_ready():
            logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in sorted(self._folder.glob("log-*")))
            assert all(process.poll() is None for process in self._processes), logs
            assert time.monotonic() < until, f"not ready after {_READY_S} s:\n{logs}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes[0].wait(_LOOK_S)

    def said(self, text: str, times: int) -> Callable[[], bool]:
        return lambda: sum(path.read_text(errors="replace").count(text) for path in self._folder.glob("log-*")) >= times

    def end(self) -> None:
        for process in reversed(self._processes):
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            end(process)
            for child in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


@contextlib.contextmanager
def _begun(folder: Path) -> Iterator[_Begun]:
    begun = _Begun(folder)
    try:
        yield begun
    finally:
        begun.end()


@contextlib.contextmanager
def ray_cluster(folder: Path) -> Iterator[Cluster]:
    """A head without cores, and two nodes of two: a gang of two lives on one of them."""
    (port,) = free_ports(1)
    ray = Path(sys.executable).parent / "ray"
    with _begun(folder) as begun:
        node = (ray, "start", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1")
        head = ("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}")
        begun.start(*node, *head)
        begun.wait_for(begun.said("Ray runtime started", 1))
        for number in range(2):  # one after the other: two at once choose the same names for their sockets
            begun.start(*node, f"--address=127.0.0.1:{port}", "--num-cpus=2")
            begun.wait_for(begun.said("Ray runtime started", 2 + number))
        yield Cluster(f"127.0.0.1:{port}", 4, _parent, lambda words: words[:1] == ["ray::Attendant.attend"])


@contextlib.contextmanager
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    """Three workers without nannies: one that is killed does not come back."""
    (port,) = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    with _begun(folder) as begun:
        where = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        begun.start(sys.executable, "-m", "distributed.cli.dask_scheduler", *where, "--port", str(port))
        begun.wait_for(_answers(port))
        for number in range(3):
            worker = ("-m", "distributed.cli.dask_worker", address, *where, "--no-nanny", "--nthreads", "1")
            begun.start(sys.executable, *worker, "--local-directory", folder / f"worker-{number}")
        begun.wait_for(begun.said("Registered to:", 3))
        yield Cluster(address, 3, lambda place: place, lambda words: "distributed.cli.dask_worker" in words)


@contextlib.contextmanager
def spark_cluster(folder: Path) -> Iterator[Cluster]:
    """A standalone master and two workers of two cores."""
    port, *pages = free_ports(4)
    found = importlib.util.find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    spark_class = Path(found.origin).parent / "bin" / "spark-class"
    address = f"spark://127.0.0.1:{port}"
    with _begun(folder) as begun:
        deploy = "org.apache.spark.deploy"
        where = ("--host", "127.0.0.1", "--webui-port")
        begun.start(spark_class, f"{deploy}.master.Master", *where, str(pages[0]), "--port", str(port))
        begun.wait_for(_answers(port))
        for number in range(2):
            size = ("--cores", "2", "--memory", "2g", "--work-dir", folder / f"worker-{number}")
            begun.start(spark_class, f"{deploy}.worker.Worker", *where, str(pages[1 + number]), *size, address)
        begun.wait_for(begun.said("Successfully registered with master", 2))
        yield Cluster(address, 4, _executor, lambda words: "pyspark.daemon" in words)


def _parent(place: psutil.Process) -> psutil.Process:
    parent = place.parent()
    assert parent is not None
    return parent


def _executor(place: psutil.Process) -> psutil.Process:
    """The Java process above a Python one."""
    return next(process for process in place.parents() if process.name() == "java")


def _answers(port: int) -> Callable[[], bool]:
    def is_there() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    return is_there
