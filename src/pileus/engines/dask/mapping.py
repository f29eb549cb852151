"""A map by Dask's own tasks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from distributed import Future

from pileus.engines.dask.cluster import DaskCluster
from pileus.engines.places.stories import telling_line
from pileus.engines.tasks import died, forget, outcome, outcome_of_kept

_START_S = 60
_KILL_S = 20


def _by_kept(word: str, call: bytes, content: bytes) -> bytes:
    return outcome_of_kept(word, lambda: call, content)


class DaskTasks:
    """What runs in a thread of a worker cannot be ended from outside: on a cluster of our own the worker is, on another
    it ends by itself and nobody hears of it."""

    def __init__(self, cluster: DaskCluster, call: bytes, workers: int, keep: bool) -> None:
        cluster.open()
        cluster.have(workers)
        self._cluster = cluster
        self._word = secrets.token_hex(8)
        self._keep = keep
        cluster.client.wait_for_workers(workers if cluster.is_own else 1, timeout=_START_S)
        self._call = cluster.client.scatter(call, hash=False)
        self._busy: dict[str, tuple[int, Future]] = {}
        """By key."""

    def begin(self, number: int, content: bytes) -> None:
        key = f"pileus-item-{self._word}-{number}"
        words = (_by_kept, self._word) if self._keep else (outcome,)
        future = self._cluster.client.submit(*words, self._call, content, key=key, pure=False, retries=0)
        self._busy[key] = number, future

    def ended(self, timeout_s: float) -> Mapping[int, bytes]:
        self._cluster.wait((future for _, future in self._busy.values()), timeout_s, first=True)
        over = [key for key, (_, future) in self._busy.items() if future.done()]
        return {number: self._outcome(number, future) for key in over for number, future in [self._busy.pop(key)]}

    def told(self, number: int) -> str:
        return f"the Dask task at item {number}"

    def end(self) -> None:
        client = self._cluster.client
        if self._busy and self._cluster.is_own:
            tasks = client.processing()
            at_it = [worker for worker, keys in tasks.items() if not self._busy.keys().isdisjoint(map(str, keys))]
            client.cancel([future for _, future in self._busy.values()], force=True)
            if at_it:
                client.restart_workers(at_it, timeout=_KILL_S)
        else:
            client.cancel([future for _, future in self._busy.values()], force=True)
        self._busy.clear()
        self._call.release()
        if self._keep and not self._cluster.is_own:
            self._cluster.tell_all(forget, self._word, _KILL_S)

    def _outcome(self, number: int, future: Future) -> bytes:
        if future.status == "finished":
            content: bytes = future.result()
            return content
        error = future.exception() if future.status == "error" else future.status
        return died(self.told(number), f"died: {telling_line(error)}")
