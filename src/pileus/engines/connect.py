"""Engines by name."""

from __future__ import annotations

from pileus.engines.cluster.engine import ClusterEngine
from pileus.engines.local.engine import LocalEngine
from pileus.engines.ports import Engine
from pileus.errors import SpecError
from pileus.spec.resolve import did_you_mean

ENGINES = ("fake", "local", "cluster")


def connect(name: str, *, cores: int | None = None) -> Engine:
    """An engine is a value that can be passed to `train`; SpecError for an unknown name.

    `cores` are shared by the workers on this machine; None: all that this process may run on.
    """
    match name:
        case "fake":
            from pileus.engines.fake import FakeEngine  # noqa: PLC0415 - trains in this process, so it brings torch

            return FakeEngine()
        case "local":
            return LocalEngine(cores)
        case "cluster":
            return ClusterEngine(cores=cores)
    raise SpecError(f"no engine is called {name!r}; {did_you_mean(name, ENGINES)}")
