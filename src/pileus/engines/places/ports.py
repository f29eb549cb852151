"""The port of what places: a cluster of another library, whose scheduler counts cores and GPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Protocol

from msgspec import Meta

from pileus.engines.hosts.address import Address
from pileus.engines.hosts.launch import Ending
from pileus.engines.places.invitation import Invitation
from pileus.spec.values import Spec


class Need(Spec, frozen=True, kw_only=True):
    """What one place takes, as the scheduler counts."""

    cores: Annotated[int, Meta(ge=1)]
    gpus: Annotated[float, Meta(ge=0.0)] = 0.0

    def __str__(self) -> str:
        return f"{self.cores} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


class Placer(Protocol):
    """One thread uses it. A place is a process of the cluster in which `attend` runs."""

    @property
    def dashboard(self) -> str:
        """Where a person can watch the cluster; '' where nowhere, or before `open`."""
        ...

    def open(self) -> Address:
        """Reach the cluster, or start one of our own; where places call this process, with any port.

        MissingService where it cannot be had, UsageError where it is of no use.
        """
        ...

    def staying(self, needs: Mapping[str, Need], present: Collection[str]) -> Collection[str]:
        """Which of the places of before, that are known to be there, can be among those that are needed next."""
        ...

    def place(self, invitation: Invitation, needs: Mapping[str, Need], staying: Collection[str]) -> None:
        """Begin to have these places, by name, and no others: all or none. Returns soon.

        Those of before that do not stay have been dismissed; whatever was asked for and has not come is given up.
        """
        ...

    def waits(self, name: str) -> str:
        """What a place that has not called yet waits for, in words."""
        ...

    def endings(self) -> Mapping[str, Ending]:
        """Of the places asked for last. Often asked: what is to be done in turns is done here."""
        ...

    def leave(self) -> None:
        """No place is left, once those that were dismissed have gone; what they took is free for other work."""
        ...

    def close(self) -> None:
        """No place is left, nor anything else that was begun here; what stood before stays."""
        ...
