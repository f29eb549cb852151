"""The settings that are tried of each server, so that each is measured at its best on two cores."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

Settings = dict[str, Any]
PILEUS = "Pileus"


class Peer(NamedTuple):
    name: str
    module: str
    """In this package; empty of Pileus itself, whose settings are options of `pileus serve`."""
    tried: list[Settings]
    path: str = "/predict"


def crossed(**levels: list[Any]) -> list[Settings]:
    return [dict(zip(levels, chosen, strict=True)) for chosen in itertools.product(*levels.values())]


PEERS = (
    Peer(PILEUS, "", crossed(processes=[1, 2]), "/v1/predict"),
    Peer("Mosec", "mosec_server", crossed(workers=[1, 2], batch=[1, 64], wait_ms=[1])),
    Peer(
        "LitServe",
        "litserve_server",
        crossed(workers=[1, 2], fronts=[1, 2], batch=[64], wait_ms=[1], fast_queue=[False, True])
        + crossed(workers=[1], fronts=[1, 2], batch=[1], wait_ms=[1], fast_queue=[False]),
    ),
    Peer(
        "BentoML",
        "bento_server",
        crossed(workers=[1, 2], fronts=[1], batch=[1]) + crossed(workers=[1], fronts=[1, 2], batch=[64]),
    ),
    Peer("Ray Serve", "ray_server", crossed(workers=[1, 2], batch=[1, 64], wait_ms=[1])),
    Peer("FastAPI", "fastapi_server", crossed(workers=[1, 2])),
    Peer("Flask, gunicorn", "flask_server", crossed(workers=[1, 2], threads=[1, 8, 32])),
)
