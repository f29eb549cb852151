"""One host of a cluster, the chief's or another: where its ranks are hosted, and where their peers call them."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Sequence

from pileus.engines.hosts.address import Address
from pileus.engines.processes.gang import Gang, Home
from pileus.engines.processes.memory import Memory
from pileus.engines.processes.workers import Nursery
from pileus.spec.job import Job


@dataclasses.dataclass
class Host:
    address: Address
    cores: int
    """Shared by its ranks."""
    ear: socket.socket | None
    """Listens at the address, for the first of its ranks; None: that port serves the chief."""
    nursery: Nursery | None = None
    is_place: bool = False
    """Its machine may have others with one rank each, so ranks choose a GPU by their numbers in the gang."""

    def gang(self, job: Job, ranks: Sequence[int]) -> Gang:
        if self.nursery is not None and not self.nursery.is_alive:
            self._end_nursery()
        self.nursery = self.nursery or Nursery()
        with contextlib.ExitStack() as stack:  # workers hold copies of their own
            ears = {rank: stack.enter_context(self._free_ear()) for rank in ranks[1 if self.ear else 0 :]}
            if self.ear and ranks:
                ears[ranks[0]] = self.ear
            memory = Memory.new()
            stack.callback(memory.close)
            home = Home(self.address.host, ears, are_apart=self.is_place)
            cores = max(1, self.cores // max(1, len(ranks)))
            return Gang(job, ranks, cores, self.nursery, memory, home)

    def close(self) -> None:
        self._end_nursery()
        if self.ear:
            self.ear.close()

    def _free_ear(self) -> socket.socket:
        return socket.create_server((self.address.interface, 0), backlog=512)

    def _end_nursery(self) -> None:
        if self.nursery is not None:
            self.nursery.close()
            self.nursery = None
