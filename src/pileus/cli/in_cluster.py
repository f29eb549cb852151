"""A command that is given on every host of a cluster: the chief's drives the run, the others serve it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pileus.cli.console import Console
from pileus.engines.cluster.attend import attend
from pileus.engines.cluster.engine import ClusterEngine
from pileus.engines.cluster.environment import Cluster
from pileus.errors import PileusError
from pileus.machine import count_cores


@contextlib.contextmanager
def driven(cluster: Cluster) -> Iterator[ClusterEngine]:
    """An engine whose agents are told, in the end, how the block ended."""
    engine = ClusterEngine(cluster, count_cores().usable)
    try:
        engine.open()
        yield engine
        engine.over(0, "done")
    except PileusError as error:
        engine.over(error.exit_code, str(error))
        raise
    finally:
        engine.close()


def served(cluster: Cluster, deadline_s: float, console: Console) -> int:
    """The exit code is the chief's."""
    over = attend(cluster, count_cores().usable, deadline_s, console.say)
    document = {"task": str(cluster.task), "chief": str(cluster.chief), "code": over.code, "reason": over.reason}
    console.result(document, f"{cluster.task}: the run is over: {over.reason}")
    return over.code
