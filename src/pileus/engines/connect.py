"""Engines by name."""

from __future__ import annotations

import os

from pileus.engines.cluster.engine import ClusterEngine
from pileus.engines.local.engine import LocalEngine
from pileus.engines.ports import Engine
from pileus.errors import MissingExtra, SpecError, UsageError
from pileus.spec.resolve import did_you_mean

ENGINES = ("fake", "local", "cluster", "ray", "dask", "spark")
PLACING = {"ray": "ray", "dask": "distributed", "spark": "pyspark"}
"""By engine that places its workers by a cluster of another library: that library. The extra is named as the engine."""
FIXED = ("spark",)
"""Engines whose gangs keep their number of workers for as long as they are driven."""


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
        case "ray" | "dask" | "spark":
            return _placing(name, address, cores or len(os.sched_getaffinity(0)))
    raise SpecError(f"no engine is called {name!r}; {did_you_mean(name, ENGINES)}")


def check_resizable(name: str) -> None:
    """UsageError where a run under way on that engine cannot go on with another number of workers."""
    if name in FIXED:
        can = ", ".join(each for each in ENGINES if each not in FIXED)
        raise UsageError(
            f"a barrier stage of engine {name!r} takes no worker in once it has begun; {can} can: interrupt the run, "
            "and go on with it on one of them, or here: pileus runs resume RUN --engine E --workers N"
        )


def _placing(name: str, address: str | None, cores: int) -> Engine:
    """Each is an extra, imported where it is asked for."""
    try:
        match name:
            case "ray":
                from pileus.engines.ray.engine import ray_engine  # noqa: PLC0415

                return ray_engine(address, cores)
            case "dask":
                from pileus.engines.dask.engine import dask_engine  # noqa: PLC0415

                return dask_engine(address, cores)
            case _:
                from pileus.engines.spark.engine import spark_engine  # noqa: PLC0415

                return spark_engine(address, cores)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pileus"):
            raise
        raise MissingExtra(f"engine {name!r}", PLACING[name], name) from error
