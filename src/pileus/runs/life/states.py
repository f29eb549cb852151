"""The states of a run. Each holds only what is valid in it."""

from __future__ import annotations

from msgspec import field

from pileus.runs.life.policies import Blame
from pileus.spec.job import Cause
from pileus.spec.values import Spec


class Gang(Spec, frozen=True, kw_only=True):
    """Of which kind the workers are that a run has, or is about to have."""

    attempt: int
    """Counts the gangs of a run from 1."""
    workers: int
    """Servers not counted."""
    restarts: int = 0
    """After losses, since the last checkpoint or the last change of `workers`."""
    losses: dict[int, int] = field(default_factory=dict)
    """By rank, since then."""


class New(Spec, tag=True, frozen=True, kw_only=True):
    """Nothing has been started."""


class Starting(Spec, tag=True, frozen=True, kw_only=True):
    """A gang has been asked for and is not whole yet."""

    gang: Gang
    addresses: dict[int, str] = field(default_factory=dict)
    """Of the members that have joined, by rank."""
    doing: dict[int, str] = field(default_factory=dict)
    """What a member last said to be busy with, by rank."""


class Training(Spec, tag=True, frozen=True, kw_only=True):
    gang: Gang
    fingerprints: dict[int, str] = field(default_factory=dict)
    """Of the members that have finished, by rank."""


class Suspecting(Spec, tag=True, frozen=True, kw_only=True):
    """A worker has complained of a lost peer; the cause, if it is another, is about to be told."""

    gang: Gang
    complaint: str
    """The first."""


class Waiting(Spec, tag=True, frozen=True, kw_only=True):
    """There is no gang; the next is started when `wait_s` seconds are over."""

    gang: Gang
    """The next."""
    reason: str
    wait_s: float


class Packing(Spec, tag=True, frozen=True, kw_only=True):
    """The weights are agreed; test, bundle and report are made."""

    attempt: int


class Done(Spec, tag=True, frozen=True, kw_only=True):
    pass


class Failed(Spec, tag=True, frozen=True, kw_only=True):
    reason: str
    cause: Cause
    blame: Blame
    rank: int | None = None
    """Where it began; None where that is no single worker."""


class Interrupted(Spec, tag=True, frozen=True, kw_only=True):
    reason: str


class Stopping(Spec, tag=True, frozen=True, kw_only=True):
    """The workers have been asked to save and to leave in order."""

    gang: Gang
    reason: str
    within_s: float
    """Then they are ended where they are."""
    then: Starting | Interrupted
    """The state that comes when they are gone."""
    stopped: frozenset[int] = frozenset()


class Ending(Spec, tag=True, frozen=True, kw_only=True):
    """The gang is being ended; what comes then is decided already."""

    attempt: int
    reason: str
    then: Starting | Waiting | Packing | Failed | Interrupted


State = New | Starting | Training | Suspecting | Waiting | Stopping | Ending | Packing | Done | Failed | Interrupted
TERMINAL = (Done, Failed, Interrupted)
