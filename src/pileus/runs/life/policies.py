"""What is tried again, how often and how soon, and whose fault an end is: data that the transitions go by."""

from __future__ import annotations

from typing import Literal

from pileus.spec.job import Cause
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

Blame = Literal["user", "platform", "pileus"]
"""Who can mend it: who gave data and settings; who keeps machines, networks and stores; we."""

BLAME: dict[Cause, Blame] = {
    "peer_lost": "platform",
    "storage": "platform",
    "fault": "platform",
    "diverged": "user",
    "bad_input": "user",
    "bug": "pileus",
}


class Retry(Spec, frozen=True, kw_only=True):
    """How a cause is tried again, at most `Limits.max_restarts` times without a new checkpoint."""

    first_wait_s: float
    """Doubled with each time; 0: at once."""
    longest_wait_s: float

    def wait_s(self, restarts: int) -> float:
        """Before the next gang, when there were so many already."""
        return min(self.first_wait_s * 2.0 ** min(restarts, 30), self.longest_wait_s)


RETRIES: dict[Cause, Retry] = {
    "peer_lost": Retry(first_wait_s=0.0, longest_wait_s=0.0),
    "storage": Retry(first_wait_s=1.0, longest_wait_s=30.0),
}
"""What is not here would come again: it ends the run."""

STOP_S = 30.0
LEAVING_S = 5.0
"""Kept of a notice to end what has not stopped, and to leave."""
LOSSES_TO_SHRINK = 2
"""A rank that was lost so often since the last checkpoint is given up, where the gang may shrink."""


class Limits(Spec, frozen=True, kw_only=True):
    """What the decisions about a run depend on beside its state."""

    workers: int
    """Of the first gang."""
    servers: int = 0
    """Of every gang; their ranks follow the workers'."""
    max_restarts: int
    min_workers: int | None = None
    """How far a gang may shrink; None: not at all."""
    start_s: float = 120.0
    """Until a gang is whole."""
    stop_s: float = STOP_S
    """An orderly stop."""
    notice_s: float = STOP_S
    """An orderly stop where the machine is about to be taken away."""
    suspicion_s: float = 2.0
    """How long after a worker's complaint of a lost peer the peer's own end may take to be told."""


def limits_of(spec: RunSpec) -> Limits:
    engine = spec.engine
    return Limits(
        workers=spec.workers,
        servers=spec.gang_size - spec.workers,
        max_restarts=engine.max_restarts,
        min_workers=engine.min_workers,
        start_s=engine.start_deadline_s,
        notice_s=max(engine.notice_s - LEAVING_S, engine.notice_s / 2),
    )
