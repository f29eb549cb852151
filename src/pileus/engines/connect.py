"""Engines by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from pileus.engines.cluster.engine import ClusterEngine
from pileus.engines.local.engine import LocalEngine
from pileus.engines.ports import Engine
from pileus.errors import MissingExtra, SpecError, UsageError
from pileus.spec.resolve import did_you_mean


class Placing(NamedTuple):
    """An engine that places its workers by a cluster of another library, in an extra of the engine's name."""

    library: str
    """As it is imported."""
    make: Callable[[str | None, int], Engine]
    """By an address and the number of cores that an own cluster has. ModuleNotFoundError without the library."""
    resizes: bool = True
    """A run under way can go on with another number of workers."""


def _ray(address: str | None, cores: int) -> Engine:
    from pileus.engines.ray.engine import ray_engine  # noqa: PLC0415

    return ray_engine(address, cores)


def _dask(address: str | None, cores: int) -> Engine:
    from pileus.engines.dask.engine import dask_engine  # noqa: PLC0415

    return dask_engine(address, cores)


def _spark(address: str | None, cores: int) -> Engine:
    from pileus.engines.spark.engine import spark_engine  # noqa: PLC0415

    return spark_engine(address, cores)


PLACING = {
    "ray": Placing("ray", _ray),
    "dask": Placing("distributed", _dask),
    "spark": Placing("pyspark", _spark, resizes=False),
}
ENGINES = ("fake", "local", "cluster", *PLACING)


def connect(name: str, *, address: str | None = None, cores: int | None = None) -> Engine:
    """An engine is a value that can be passed to `train`; SpecError for an unknown name.

    `address`: of a Ray, Dask or Spark cluster that is there; None for one of our own on this machine, for as long as
    the engine is open. `cores` are shared by the workers on this machine; None: all that this process may run on.
    MissingExtra where the engine's library is not installed, MissingService where it lacks something else.
    """
    if address is not None and name in ENGINES and name not in PLACING:
        raise SpecError(f"engine {name!r} has no address (got {address}); {', '.join(PLACING)} have.")
    match name:
        case "fake":
            from pileus.engines.fake import FakeEngine  # noqa: PLC0415 - trains in this process, so it brings torch

            return FakeEngine()
        case "local":
            return LocalEngine(cores)
        case "cluster":
            return ClusterEngine(cores=cores)
    if name not in PLACING:
        raise SpecError(f"no engine is called {name!r}; {did_you_mean(name, ENGINES)}")
    placing = PLACING[name]
    try:
        return placing.make(address, cores or len(os.sched_getaffinity(0)))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pileus"):
            raise
        raise MissingExtra(f"engine {name!r}", placing.library, name) from error


def resizes(name: str) -> bool:
    """Whether a run under way on that engine can go on with another number of workers."""
    return name not in PLACING or PLACING[name].resizes


def check_resizable(name: str) -> None:
    """UsageError where it does not resize."""
    if not resizes(name):
        can = ", ".join(each for each in ENGINES if resizes(each))
        raise UsageError(
            f"a barrier stage of engine {name!r} takes no worker in once it has begun; {can} can: interrupt the run, "
            "and go on with it on one of them, or here: pileus runs resume RUN --engine E --workers N"
        )
