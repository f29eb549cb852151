"""`pileus.train` and `pileus.resume`: a run, as the command line makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.engines.ports import Engine
from pileus.operations.observer import Observer
from pileus.operations.train import TrainResult
from pileus.operations.train import resume as resume_run
from pileus.operations.train import train as train_run
from pileus.recipes.load import load_recipe
from pileus.spec.resolve import resolve

Run = TrainResult
"""A finished run: `run.accuracy`, `run.fingerprint`, `run.bundle` and the rest of what `pileus train --json` prints."""


def train(
    recipe: str,
    *,
    data: str | None = None,
    engine: str | Engine | None = None,
    workers: int | None = None,
    runs: str = "runs",
    settings: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a recipe (or a .toml or .json file) on `data`, a path or URI of labelled images.

    `settings` are those of `--set`: {"optimizer.lr": 0.1}. `observer` is told of progress. Raises SpecError and
    SourceError (both ValueError) before anything starts, WorkFailed and Interrupted afterwards.
    """
    laid: list[tuple[tuple[str, ...], Any]] = []
    if data is not None:
        laid.append((("data", "source"), data))
    if engine is not None:
        laid.append((("engine", "name"), engine if isinstance(engine, str) else engine.name))
    if workers is not None:
        laid.append((("workers",), workers))
    laid += [(tuple(name.split(".")), value) for name, value in (settings or {}).items()]
    spec = resolve(load_recipe(recipe), laid)
    chosen = None if engine is None or isinstance(engine, str) else engine
    name = recipe.rpartition("/")[2].partition(".")[0]
    return train_run(spec, runs=runs, recipe=name, engine=chosen, observer=observer)


def resume(place: str, *, engine: str | Engine | None = None, workers: int | None = None) -> Run:
    """Go on with a run (path or URI) from its newest checkpoint, also on another engine."""
    return resume_run(place, engine=engine, workers=workers)
