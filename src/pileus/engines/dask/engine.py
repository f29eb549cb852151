"""The Dask engine, put together."""

from __future__ import annotations

from functools import partial

from pileus.engines.dask.cluster import DaskCluster
from pileus.engines.dask.mapping import DaskTasks
from pileus.engines.dask.placer import DaskPlacer
from pileus.engines.places.engine import PlacedEngine, placed_capabilities


def dask_engine(address: str | None, cores: int) -> PlacedEngine:
    """`address`: of a scheduler, or None for an own one on this machine, whose workers share `cores`."""
    cluster = DaskCluster(address)
    own_cores = cores if address is None else None
    return PlacedEngine("dask", placed_capabilities(), DaskPlacer(cluster), partial(DaskTasks, cluster), own_cores)
