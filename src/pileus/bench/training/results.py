"""What is kept of a trial that has ended: a line of results.jsonl."""

from __future__ import annotations

from pileus.bench.training.design import Trial
from pileus.bench.training.trial import Outcome
from pileus.spec.values import Spec


class Done(Spec, frozen=True, kw_only=True):
    """A trial that has ended."""

    trial: Trial
    outcome: Outcome | None
    """None where it failed."""
    error: str = ""
