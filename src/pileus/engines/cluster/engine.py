"""The cluster engine: a process of each host was started by other tools, and this is the chief's.

Its controller drives the run and hosts rank 0; the other hosts run `attend`, call the chief and are given their ranks.
A host that is lost is found back by the next gang if it has come again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable

from pileus.engines.cluster.environment import Cluster, read_cluster
from pileus.engines.cluster.listening import listening
from pileus.engines.cluster.placing import ClusterHosts, placed
from pileus.engines.cluster.secret import read_secret
from pileus.engines.hosts.agents import Agents
from pileus.engines.hosts.handshake import Door
from pileus.engines.hosts.host import Host
from pileus.engines.hosts.launch import HostsLaunch, job_over_hosts
from pileus.engines.hosts.messages import Over
from pileus.engines.hosts.reception import Reception
from pileus.engines.ports import ITEM_DEADLINE_S, OF_PROCESSES, Capabilities, Item, Result
from pileus.errors import UsageError
from pileus.spec.job import Job

_UNSAID = Over(code=1, reason="the chief left without a word on how the run ended")


class ClusterEngine:
    """`cluster`: None for what TF_CONFIG says. `cores`: of this host; None for all that this process may run on."""

    name = "cluster"
    dashboard = ""
    capabilities = Capabilities(strategies=OF_PROCESSES, processes=True, memory=False)

    def __init__(self, cluster: Cluster | None = None, cores: int | None = None) -> None:
        self.cluster = cluster or read_cluster()
        if not self.cluster.is_chief:
            raise UsageError(
                f"a run is driven by the chief of its cluster, {self.cluster.told(self.cluster.chief)}, and this is "
                f"{self.cluster.task}; here, run: pileus cluster join"
            )
        self._hosts = ClusterHosts(self.cluster)
        self._door = Door(read_secret(self.cluster), self._hosts.objection)
        self._cores = cores or len(os.sched_getaffinity(0))
        self._agents: Agents | None = None
        self._host = Host(self.cluster.addresses[self.cluster.task], self._cores, None)
        self._num_gangs = 0
        self._over = _UNSAID

    def open(self) -> Agents:
        """Listen to agents; MissingService where the chief's port is taken. `launch` does it where it was not done."""
        if self._agents is None:
            task = self.cluster.task
            ear = listening(self.cluster.addresses[task], f"the chief of a cluster ({task})")
            self._agents = Agents(Reception(ear, self._door))
        return self._agents

    def launch(self, job: Job) -> HostsLaunch:
        self.cluster.check(job.spec)
        agents = self.open()
        agents.welcome()
        self._num_gangs += 1
        job = job_over_hosts(job)
        ranks = placed(job, self.cluster, self._hosts.named(agents.links))
        own = self._host.gang(job, ranks.pop(self.cluster.chief))
        others = {str(task): found for task, found in ranks.items()}
        return HostsLaunch(self._num_gangs, job, agents, others, self._hosts, own)

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
        keep: bool = False,
    ) -> Generator[Result, None, None]:
        """Refused: agents take jobs, and no code."""
        raise UsageError("engine 'cluster' trains and maps nothing over its hosts; choose --engine local.")

    def over(self, code: int, reason: str) -> None:
        """How the run has ended, for the agents' own exit codes; told when the engine is closed."""
        self._over = Over(code=code, reason=reason)

    def close(self) -> None:
        if self._agents is not None:
            self._agents.close(self._over)
            self._agents = None
        self._host.close()
