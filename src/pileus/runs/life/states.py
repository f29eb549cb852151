"""The states of a run. Each holds only what is valid in it."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from pileus.spec.values import Spec


class New(Spec, tag=True, frozen=True, kw_only=True):
    """Nothing has been started."""


class Starting(Spec, tag=True, frozen=True, kw_only=True):
    """A gang has been asked for and is not whole yet."""

    attempt: int
    restarts: int
    """Since the last checkpoint."""
    addresses: dict[int, str] = field(default_factory=dict)


class Training(Spec, tag=True, frozen=True, kw_only=True):
    attempt: int
    restarts: int
    fingerprints: dict[int, str] = field(default_factory=dict)
    """Of the workers that have finished, by rank."""


class Suspecting(Spec, tag=True, frozen=True, kw_only=True):
    """A worker has complained of a lost peer; the cause, if it is another, is about to be told."""

    attempt: int
    restarts: int
    complaint: str


class Stopping(Spec, tag=True, frozen=True, kw_only=True):
    """The workers have been asked to leave in order."""

    attempt: int
    reason: str
    stopped: frozenset[int] = frozenset()


class Ending(Spec, tag=True, frozen=True, kw_only=True):
    """The gang is being ended; what comes then is decided already."""

    attempt: int
    then: Literal["restart", "pack", "fail", "interrupt"]
    restarts: int
    reason: str


class Packing(Spec, tag=True, frozen=True, kw_only=True):
    """The weights are agreed; test, bundle and report are made."""

    attempt: int


class Done(Spec, tag=True, frozen=True, kw_only=True):
    pass


class Failed(Spec, tag=True, frozen=True, kw_only=True):
    reason: str


class Interrupted(Spec, tag=True, frozen=True, kw_only=True):
    reason: str


State = New | Starting | Training | Suspecting | Stopping | Ending | Packing | Done | Failed | Interrupted
TERMINAL = (Done, Failed, Interrupted)
