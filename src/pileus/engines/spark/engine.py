"""The Spark engine, put together."""

from __future__ import annotations

from functools import partial

from pileus.engines.places.engine import PlacedEngine, placed_capabilities
from pileus.engines.spark.java import check_java
from pileus.engines.spark.mapping import SparkTasks
from pileus.engines.spark.placer import SparkPlacer
from pileus.engines.spark.session import SparkSession


def spark_engine(address: str | None, cores: int) -> PlacedEngine:
    """`address`: of a master, or None for one on this machine, whose workers share `cores`.

    MissingService where there is no Java.
    """
    check_java()
    session = SparkSession(address)
    own_cores = cores if address is None else None
    capabilities = placed_capabilities()
    return PlacedEngine("spark", capabilities, SparkPlacer(session), partial(SparkTasks, session), own_cores)
