"""Which host of a cluster has which ranks, and what is known of hosts that are not there."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping

from pileus.engines.cluster.environment import Cluster, Task
from pileus.engines.hosts.launch import Ending
from pileus.spec.job import Job


def placed(job: Job, cluster: Cluster, present: Collection[Task]) -> dict[Task, tuple[int, ...]]:
    """Ranks by host: in blocks, over those that are present before the others, so that a gang may have fewer workers
    than there are hosts. The chief's host has rank 0."""
    workers = sorted(cluster.workers, key=lambda task: task != cluster.chief and task not in present)
    spec = job.spec
    num_hosts = min(len(workers), spec.workers)
    ranks: dict[Task, list[int]] = collections.defaultdict(list)
    for rank in range(spec.workers):
        ranks[workers[rank * num_hosts // spec.workers]].append(rank)
    for rank in range(spec.workers, spec.gang_size):
        ranks[cluster.servers[(rank - spec.workers) % len(cluster.servers)]].append(rank)
    return {task: tuple(found) for task, found in ranks.items()}


class ClusterHosts:
    """Hosts that other tools start: whether one will ever come is known to them alone."""

    def __init__(self, cluster: Cluster) -> None:
        self._tasks = {str(task): task for task in cluster.addresses}
        self._cluster = cluster

    def told(self, name: str) -> str:
        return self._cluster.told(self._tasks[name])

    def waits(self, name: str) -> str:
        return f"waiting for {self.told(name)} to call the chief"

    def endings(self) -> Mapping[str, Ending]:
        return {}

    def named(self, names: Collection[str]) -> set[Task]:
        return {self._tasks[name] for name in names}

    def objection(self, name: str, group: str) -> str | None:
        """To a caller, who has shown that it knows the secret."""
        if group != self._cluster.fingerprint:
            return "its TF_CONFIG names another cluster than the chief's; give every host the same"
        if name not in self._tasks or name == str(self._cluster.chief):
            return f"{name} is no agent of this cluster"
        return None
