"""The Ray engine, put together."""

from __future__ import annotations

from functools import partial

from pileus.engines.places.engine import PlacedEngine, placed_capabilities
from pileus.engines.ray.cluster import RayCluster
from pileus.engines.ray.mapping import RayTasks
from pileus.engines.ray.placer import RayPlacer


def ray_engine(address: str | None, cores: int) -> PlacedEngine:
    """`address`: as `ray.init` takes it, or None for an own cluster on this machine, whose workers share `cores`."""
    cluster = RayCluster(address, cores)
    own_cores = cores if address is None else None
    return PlacedEngine("ray", placed_capabilities(), RayPlacer(cluster), partial(RayTasks, cluster), own_cores)
