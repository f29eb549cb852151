"""What an engine is asked to carry out, and the messages between a worker and the controller.

Messages travel as one JSON or MessagePack document each; no message carries code.
"""

from __future__ import annotations

from typing import Literal

from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

Cause = Literal["peer_lost", "diverged", "bad_input", "storage", "fault", "bug"]
"""Why a worker failed. `pileus.runs.life.policies` says which of them is tried again."""


class Fault(Spec, frozen=True, kw_only=True):
    """A fault to commit at a coordinate, for trials of an engine: never by luck, never twice."""

    kind: Literal["kill_worker", "kill_controller", "raise"]
    rank: int
    step: int
    """Global step, counted from 0 over all epochs, before which the fault happens."""
    attempt: int = 1


class Job(Spec, frozen=True, kw_only=True):
    """A gang of `spec.workers` workers that go on from `checkpoint` to the end of the run."""

    run_uri: str
    records_uri: str
    spec: RunSpec
    attempt: int
    """Counts the gangs of a run from 1; a worker of an old attempt is refused by its peers."""
    session: str
    """A random word that peers show each other; not kept."""
    drive: str = ""
    """A random word of the controller's drive: what its workers keep in memory is found again by it."""
    checkpoint: str | None = None
    """Key of the checkpoint to start from; None: the beginning."""
    faults: tuple[Fault, ...] = ()


class Joined(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: it is up and listens for its peers at `address` ('' where it needs none)."""

    rank: int
    address: str


class Beat(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: alive, and how far."""

    rank: int
    epoch: int
    step: int
    doing: str = ""
    """What it is busy with until its gang is whole, in words: 'reading records'; '' after that."""


class Leaving(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: its place is about to be taken away; it goes on until it is told to stop."""

    rank: int
    reason: str


class EpochDone(Spec, tag=True, frozen=True, kw_only=True):
    """Rank 0 to controller: figures of an epoch, the same on every worker."""

    epoch: int
    """Counted from 0."""
    step: int
    """Global steps done."""
    samples: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    phases_s: dict[str, float]
    """Seconds of rank 0 by phase: data, compute, exchange, optimizer, checkpoint, validation."""
    fingerprint: str


class Checkpointed(Spec, tag=True, frozen=True, kw_only=True):
    """Rank 0 to controller: a checkpoint is complete in the run directory."""

    key: str
    epoch: int
    step: int


class Finished(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: the last step is done and agreed."""

    rank: int
    step: int
    fingerprint: str


class Stopped(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: left in order, as asked; the state is in the newest checkpoint."""

    rank: int
    step: int


class Failed(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller, its last word: what went wrong."""

    rank: int
    step: int
    cause: Cause
    message: str
    trace: str = ""


Report = Joined | Beat | Leaving | EpochDone | Checkpointed | Finished | Stopped | Failed


class Peers(Spec, tag=True, frozen=True, kw_only=True):
    """Controller to worker: the gang is whole; addresses by rank."""

    addresses: tuple[str, ...]


class Stop(Spec, tag=True, frozen=True, kw_only=True):
    """Controller to worker: leave now, after the step that is under way."""

    reason: str


Order = Peers | Stop
