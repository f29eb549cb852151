"""An engine whose gangs live in places, one a rank; the driver hosts none.

Places outlive gangs: a worker that dies is started anew where it was, and a place that is gone is placed anew for the
next gang. What they take is given back before the cluster's own tasks are to map.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Generator, Iterable, Mapping

from pileus.engines.hosts.agents import Agents
from pileus.engines.hosts.handshake import Door
from pileus.engines.hosts.launch import Ending, HostsLaunch, job_over_hosts
from pileus.engines.hosts.messages import Over
from pileus.engines.hosts.reception import Reception
from pileus.engines.hosts.secret import NONCE_BYTES
from pileus.engines.places.invitation import Invitation
from pileus.engines.places.ports import Need, Placer
from pileus.engines.ports import ITEM_DEADLINE_S, OF_PROCESSES, Capabilities, Item, Result
from pileus.engines.tasks import Tasks, map_by
from pileus.spec.job import Job
from pileus.spec.run import RunSpec

_BACKLOG = 512
_DISMISSED = Over(code=0, reason="dismissed")


def placed_capabilities() -> Capabilities:
    """What is common to all that place."""
    return Capabilities(strategies=OF_PROCESSES, processes=True, memory=False, places=True)


class PlacedEngine:
    def __init__(
        self,
        name: str,
        capabilities: Capabilities,
        placer: Placer,
        tasks: Callable[[bytes, int, bool], Tasks],
        own_cores: int | None,
    ) -> None:
        """`tasks`: of a pickled call, for a number of workers, which may keep it. `own_cores`: of a cluster of our own
        on this machine, whose workers share them; None where the cluster is another's."""
        self.name = name
        self.capabilities = capabilities
        self._placer = placer
        self._tasks = tasks
        self._own_cores = own_cores
        self._agents: Agents | None = None
        self._launch: HostsLaunch | None = None
        self._secret = secrets.token_bytes(NONCE_BYTES)
        self._driver = ("", 0)
        self._group = ""
        self._num_gangs = 0

    @property
    def dashboard(self) -> str:
        return self._placer.dashboard

    def launch(self, job: Job) -> HostsLaunch:
        agents = self._open()
        agents.welcome()
        self._num_gangs += 1
        self._group = secrets.token_hex(8)
        names = {f"place {rank}": rank for rank in range(job.spec.gang_size)}
        needs = dict.fromkeys(names, self._need(job.spec))
        host, port = self._driver
        invitation = Invitation(host=host, port=port, secret=self._secret, group=self._group)
        staying = frozenset(self._placer.staying(needs, frozenset(agents.links)))
        for name in set(agents.links) - staying:
            agents.drop(name)
        self._placer.place(invitation, needs, staying)
        ranks = {name: (rank,) for name, rank in names.items()}
        self._launch = HostsLaunch(self._num_gangs, job_over_hosts(job), agents, ranks, _Places(self._placer))
        return self._launch

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        """By tasks of the cluster."""
        if self._agents is not None and (self._launch is None or self._launch.has_ended):
            self._agents.dismiss(_DISMISSED)
            self._placer.leave()
        yield from map_by(self._tasks, call, items, workers=workers, deadline_s=deadline_s, keep=keep)

    def close(self) -> None:
        if self._agents is not None:
            self._agents.close(_DISMISSED)
            self._agents = None
        self._placer.close()

    def _open(self) -> Agents:
        if self._agents is None:
            here = self._placer.open()
            ear = socket.create_server((here.interface, 0), backlog=_BACKLOG)
            self._driver = (here.host, ear.getsockname()[1])
            self._agents = Agents(Reception(ear, Door(self._secret, self._objection)))
        return self._agents

    def _need(self, spec: RunSpec) -> Need:
        share = 1 if self._own_cores is None else max(1, self._own_cores // spec.workers)
        return Need(cores=spec.engine.cores or share, gpus=spec.engine.gpus)

    def _objection(self, name: str, group: str) -> str | None:
        return None if group == self._group else f"{name} belongs to an earlier placement"


class _Places:
    """As a launch sees them."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer

    def told(self, name: str) -> str:
        return name

    def waits(self, name: str) -> str:
        return self._placer.waits(name)

    def endings(self) -> Mapping[str, Ending]:
        return self._placer.endings()
