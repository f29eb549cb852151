"""What an engine is asked to carry out, and the messages between a worker and the controller.

Messages travel as one JSON or MessagePack document each; no message carries code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from pileus.errors import SpecError
from pileus.spec.reading import Count
from pileus.spec.run import RunSpec
from pileus.spec.usage import Watched
from pileus.spec.values import Spec

Cause = Literal["peer_lost", "diverged", "bad_input", "storage", "fault", "bug"]
"""Why a worker failed. `pileus.runs.life.policies` says which of them is tried again."""


FaultKind = Literal[
    "raise",
    "exit",
    "kill_worker",
    "kill_controller",
    "terminate_worker",
    "terminate_controller",
    "stop",
    "pause",
    "slow",
    "cut",
    "nan",
    "kill_in_save",
    "store_error",
    "slow_store",
]
AT_START = -1
"""The step of a fault that happens before a worker reports in."""
_AT_START_TOO = frozenset({"raise", "exit", "kill_worker", "kill_controller", "stop", "pause"})
_LASTING = frozenset({"pause", "cut", "slow_store"})


class Fault(Spec, frozen=True, kw_only=True):
    """A fault to commit at a coordinate, for trials of an engine: never by luck, never twice.

    'exit': end without a last word. 'terminate': SIGTERM. 'stop': SIGSTOP itself, alive and silent. 'pause': do nothing
    for `seconds`. 'slow': compute `factor` times as long. 'cut': no packet of its peers comes in for `seconds`, or ever
    again. 'nan': the loss of each of its microbatches. 'kill_in_save': between the content and the manifest of the
    first checkpoint past `step`. 'store_error': every checkpoint past `step` is refused. 'slow_store':
    each put takes `seconds` more.
    """

    kind: FaultKind
    rank: Annotated[int, Meta(ge=0)]
    step: Annotated[int, Meta(ge=AT_START)]
    """Global step, counted from 0 over all epochs, before which the fault happens, or AT_START."""
    attempt: Annotated[int, Meta(ge=1)] = 1
    steps: Count = 1
    """How many steps it lasts: of 'slow'."""
    seconds: Annotated[float, Meta(ge=0.0)] = 0.0
    """Of 'pause', 'slow_store' and 'cut', where 0 is for ever."""
    factor: Annotated[float, Meta(ge=1.0)] = 1.0
    """Of 'slow'."""

    def __post_init__(self) -> None:
        if self.step == AT_START and self.kind not in _AT_START_TOO:
            kinds = ", ".join(sorted(_AT_START_TOO))
            raise SpecError(f"only {kinds} can happen before the first step (got kind={self.kind!r}); name a step.")
        if self.seconds and self.kind not in _LASTING:
            raise SpecError(
                f"seconds belong to {', '.join(sorted(_LASTING))} (got kind={self.kind!r}); leave them out."
            )
        if self.kind != "slow" and (self.steps, self.factor) != (1, 1.0):
            raise SpecError(f"steps and factor belong to slow (got kind={self.kind!r}); leave them out.")


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


class Used(Spec, tag=True, frozen=True, kw_only=True):
    """Worker to controller: what it and its host have used so far."""

    rank: int
    watched: Watched


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
    agreement: dict[str, float] = field(default_factory=dict)
    """What agreeing cost and how stale it was, of a strategy with servers: bytes_per_step, messages_per_step (of
    rank 0), and staleness_N, the number of pushes that were N stale."""


class Validated(Spec, tag=True, frozen=True, kw_only=True):
    """Evaluator to controller: how an epoch's weights do on the validation part."""

    rank: int
    epoch: int
    step: int
    """Global steps done."""
    loss: float
    accuracy: float


class Resumed(Spec, tag=True, frozen=True, kw_only=True):
    """Rank 0 to controller: the gang goes on from here."""

    rank: int
    step: int
    """Global steps done."""
    place: Literal["checkpoint", "memory"]


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


Report = Joined | Beat | Used | Leaving | Resumed | EpochDone | Validated | Checkpointed | Finished | Stopped | Failed


class Peers(Spec, tag=True, frozen=True, kw_only=True):
    """Controller to worker: the gang is whole; addresses by rank."""

    addresses: tuple[str, ...]


class Stop(Spec, tag=True, frozen=True, kw_only=True):
    """Controller to worker: leave now, after the step that is under way."""

    reason: str


Order = Peers | Stop
