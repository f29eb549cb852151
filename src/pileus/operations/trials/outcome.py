"""What is told of a trial, also to those who cannot hold one."""

from __future__ import annotations

from pileus.spec.values import Spec


class Outcome(Spec, frozen=True, kw_only=True):
    """What came of a trial."""

    name: str
    about: str
    passed: bool
    skipped: str | None = None
    """Why it could not be held here; it counts as passed."""
    seconds: float = 0.0
    deadline_s: float
    told: tuple[str, ...] = ()
    """What the run said of it."""
    complaints: tuple[str, ...] = ()
    """What was not as it must be."""
