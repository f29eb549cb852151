"""A small study's parts: a request, and outcomes that are told and not measured."""

from __future__ import annotations

from pileus.bench.training.design import Contender, Request, Trial
from pileus.bench.training.results import Done
from pileus.bench.training.trial import Outcome

EXACT, FAST = "all_reduce:exact", "all_reduce:fast"
REQUEST = Request(
    source="embedded:digits", models=("digits_cnn",), strategies=("single", EXACT, FAST), workers=(1, 2), rounds=3
)


def outcome(samples_per_s: float = 1000.0, network_bytes: int | None = 0) -> Outcome:
    """Ten steps in a second."""
    return Outcome(
        start_s=1.5,
        epochs=2,
        steps=10,
        samples=round(samples_per_s),
        seconds=1.0,
        phases_s={"compute": 0.6, "exchange": 0.3, "checkpoint": 0.0},
        network_bytes=network_bytes,
        staleness=None,
        parameters=1000,
    )


def done(number: int, turn: int, contender: Contender, found: Outcome | None, error: str = "") -> Done:
    return Done(trial=Trial(number=number, round=turn, contender=contender), outcome=found, error=error)


def contender(strategy: str, workers: int) -> Contender:
    return Contender(model="digits_cnn", strategy=strategy, workers=workers)
