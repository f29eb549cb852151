"""What a place is told of the driver that it shall serve."""

from __future__ import annotations

from pileus.engines.hosts.address import Address
from pileus.spec.values import Spec


class Invitation(Spec, frozen=True, kw_only=True):
    """Handed over by the cluster's own means; whoever has it may post jobs to a place and report to the driver."""

    host: str
    port: int
    secret: bytes
    group: str
    """A word of this placement: a place of an earlier one that comes late is refused."""

    @property
    def driver(self) -> Address:
        return Address(self.host, self.port)

    def __repr__(self) -> str:
        """Without the secret: libraries write the arguments of what they run into their logs."""
        return f"Invitation({self.driver}, {self.group})"
