"""Who searches, and the settings that each is tried with; the quickest goes into the rounds.

All have every core, by their own choice of threads, and get the pixels as the type they search, converted before the
clock starts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Settings = dict[str, Any]


class Contender(NamedTuple):
    name: str
    """As a function of `search` is called, or 'pileus'."""
    title: str
    tried: tuple[Settings, ...]


PILEUS = Contender("pileus", "Pileus", ({},))
PEERS = (
    Contender(
        "scikit_learn",
        "scikit-learn",
        tuple({"metric": "sqeuclidean", "chunk": chunk} for chunk in (256, 512, 1024)),
    ),
    Contender(
        "faiss",
        "faiss",
        (
            {"kind": "float32", "query_bs": 4096, "database_bs": 1024},
            {"kind": "float32", "query_bs": 1024, "database_bs": 4096},
            {"kind": "float32", "query_bs": 256, "database_bs": 2048},
            {"kind": "uint8", "query_bs": 4096, "database_bs": 1024},
        ),
    ),
    Contender("sklearnex", "scikit-learn-intelex", ({"n_jobs": -1},)),
)
