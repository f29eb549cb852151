"""What can happen to a run, and what the machine can tell the controller to do about it.

The reports of workers (`pileus.spec.job`) are events too.
"""

from __future__ import annotations

from pileus.spec.job import Beat, Cause, Checkpointed, Failed, Finished, Joined, Leaving, Stopped
from pileus.spec.values import Spec


class Begin(Spec, tag=True, frozen=True, kw_only=True):
    """Start, or take up where the run stands."""

    attempt: int


class NotLaunched(Spec, tag=True, frozen=True, kw_only=True):
    """The store did not give what a gang starts from."""

    reason: str


class Lost(Spec, tag=True, frozen=True, kw_only=True):
    """A worker died or fell silent."""

    rank: int
    cause: str


class DeadlinePassed(Spec, tag=True, frozen=True, kw_only=True):
    """The state's deadline: of the gang's start, of a wait, or of an orderly stop."""


class StopAsked(Spec, tag=True, frozen=True, kw_only=True):
    reason: str
    is_notice: bool = False
    """The machine is about to be taken away."""


class ResizeAsked(Spec, tag=True, frozen=True, kw_only=True):
    """Another number of workers than the run has."""

    workers: int


class GangGone(Spec, tag=True, frozen=True, kw_only=True):
    """Every worker of the gang is gone."""


class Packed(Spec, tag=True, frozen=True, kw_only=True):
    pass


class PackFailed(Spec, tag=True, frozen=True, kw_only=True):
    reason: str
    cause: Cause


Event = (
    Begin
    | NotLaunched
    | Joined
    | Beat
    | Leaving
    | Lost
    | Failed
    | Checkpointed
    | Finished
    | Stopped
    | DeadlinePassed
    | StopAsked
    | ResizeAsked
    | GangGone
    | Packed
    | PackFailed
)


class LaunchGang(Spec, tag=True, frozen=True, kw_only=True):
    """From the newest checkpoint that verifies. Answered by NotLaunched where it cannot be read."""

    attempt: int
    workers: int


class SendPeers(Spec, tag=True, frozen=True, kw_only=True):
    addresses: tuple[str, ...]


class SendStop(Spec, tag=True, frozen=True, kw_only=True):
    reason: str


class EndGang(Spec, tag=True, frozen=True, kw_only=True):
    """Answered by GangGone."""


class Pack(Spec, tag=True, frozen=True, kw_only=True):
    """Answered by Packed or PackFailed."""


Instruction = LaunchGang | SendPeers | SendStop | EndGang | Pack
