"""The cluster engine: a process of each host was started by other tools, and this is the chief's.

Its controller drives the run and hosts rank 0; the other hosts run `attend`, call the chief and are given their ranks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable

import msgspec

from pileus.engines.cluster.environment import Cluster, read_cluster
from pileus.engines.cluster.host import Host
from pileus.engines.cluster.launch import Agents, ClusterLaunch
from pileus.engines.cluster.messages import Over
from pileus.engines.cluster.reception import Reception
from pileus.engines.cluster.secret import read_secret
from pileus.engines.ports import ITEM_DEADLINE_S, Capabilities, Item, Result
from pileus.errors import UsageError
from pileus.spec.job import Job

_UNSAID = Over(code=1, reason="the chief left without a word on how the run ended")


class ClusterEngine:
    """`cluster`: None for what TF_CONFIG says. `cores`: of this host; None for all that this process may run on."""

    name = "cluster"
    capabilities = Capabilities(
        strategies=frozenset({"single", "all_reduce", "all_reduce (fast)", "local_sgd", "parameter_server"}),
        processes=True,
    )

    def __init__(self, cluster: Cluster | None = None, cores: int | None = None) -> None:
        self.cluster = cluster or read_cluster()
        if not self.cluster.is_chief:
            raise UsageError(
                f"a run is driven by the chief of its cluster, {self.cluster.told(self.cluster.chief)}, and this is "
                f"{self.cluster.task}; here, run: pileus cluster join"
            )
        self._secret = read_secret(self.cluster)
        self._cores = cores or len(os.sched_getaffinity(0))
        self._reception: Reception | None = None
        self._agents: Agents | None = None
        self._host = Host(self.cluster.addresses[self.cluster.task], self._cores, None)
        self._num_gangs = 0
        self._over = _UNSAID

    def open(self) -> None:
        """Listen to agents; MissingService where the chief's port is taken. `launch` does it where it was not done."""
        if self._reception is None:
            self._reception = Reception(self.cluster, self._secret)
            self._agents = Agents(self.cluster, self._reception)

    def launch(self, job: Job) -> ClusterLaunch:
        """What is kept in memory would be known to the chief's host alone, so nothing is; the run goes on from disk."""
        self.cluster.check(job.spec)
        self.open()
        assert self._agents is not None
        self._num_gangs += 1
        checkpoints = msgspec.structs.replace(job.spec.checkpoints, commit_s=None)
        job = msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, checkpoints=checkpoints))
        return ClusterLaunch(self._num_gangs, job, self._agents, self._host)

    def map(
        self,
        call: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        workers: int,
        deadline_s: float = ITEM_DEADLINE_S,
    ) -> Generator[Result, None, None]:
        """Refused: agents take jobs, and no code."""
        raise UsageError("engine 'cluster' trains and maps nothing over its hosts; choose --engine local.")

    def over(self, code: int, reason: str) -> None:
        """How the run has ended, for the agents' own exit codes; told when the engine is closed."""
        self._over = Over(code=code, reason=reason)

    def close(self) -> None:
        if self._agents is not None:
            self._agents.welcome()
            for task, link in list(self._agents.links.items()):
                with contextlib.suppress(OSError):  # it is gone already
                    link.send(self._over)
                self._agents.drop(task)
            self._agents = None
        if self._reception is not None:
            self._reception.close()
            self._reception = None
        self._host.close()
