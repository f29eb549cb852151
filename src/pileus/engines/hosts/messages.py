"""What the chief of a gang and a host that serves it say to each other, one MessagePack document each."""

from __future__ import annotations

from pileus.runs.life.events import Lost
from pileus.spec.job import Job, Order, Report
from pileus.spec.values import Spec


class Call(Spec, tag=True, frozen=True, kw_only=True):
    """Agent to chief, in answer to its challenge: who calls, with a challenge of its own and its proof."""

    name: str
    group: str
    """A word of those who belong together: both must have been told the same."""
    pileus: str
    torch: str
    """Versions: other arithmetic would end with other weights."""
    cores: int
    challenge: bytes
    proof: bytes


class Welcome(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent, with its proof."""

    proof: bytes


class Refused(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent, which then ends."""

    reason: str


class Place(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent: host these ranks of a gang."""

    gang: int
    """Counts the chief's gangs; an agent has one at a time."""
    job: Job
    ranks: tuple[int, ...]


class Relay(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent: for every rank that it hosts."""

    gang: int
    order: Order


class End(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent: kill what still runs, and say when it is gone."""

    gang: int


class Over(Spec, tag=True, frozen=True, kw_only=True):
    """Chief to agent, the last word: how the run ended."""

    code: int
    """The exit code of the chief's command."""
    reason: str


class Told(Spec, tag=True, frozen=True, kw_only=True):
    """Agent to chief: what a rank said, or that it ended without a last word."""

    gang: int
    event: Report | Lost


class Gone(Spec, tag=True, frozen=True, kw_only=True):
    """Agent to chief: nothing of the gang is left on its host."""

    gang: int


Answer = Welcome | Refused
ToAgent = Place | Relay | End | Over
ToChief = Told | Gone
