"""Places as long tasks, one a worker.

Dask has no gangs, so workers are reserved: as many as are needed at once are chosen among those that host no place of
any run, one who chooses at a time. What hosts a place is seen by the keys of the tasks that its scheduler tells, so a
driver that dies leaves nothing reserved. A place gives its thread back to the worker, whose scheduler goes on without.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from distributed import Future, Semaphore, get_worker, secede
from distributed.scheduler import KilledWorker

from pileus.engines.dask.cluster import DaskCluster
from pileus.engines.hosts.address import Address
from pileus.engines.hosts.launch import Ending
from pileus.engines.places.attend import attend
from pileus.engines.places.invitation import Invitation
from pileus.engines.places.ports import Need

_KEY = "pileus-place-"
_LIVES = ("init", "running", "paused")
_TURN_S = 2.0
_SHOWN_S = 2.0
_LOOK_S = 0.02
_LEAVE_S = 5.0


def host_place(invitation: Invitation, name: str, cores: int) -> str:
    """The task."""
    worker = get_worker()
    secede()
    return attend(invitation, name, cores, lambda: worker.status.name in _LIVES)


class DaskPlacer:
    def __init__(self, cluster: DaskCluster) -> None:
        self._cluster = cluster
        self._invitation: Invitation | None = None
        self._needs: Mapping[str, Need] = {}
        self._pending: dict[str, Need] = {}
        """Places for which no worker is reserved yet."""
        self._free: tuple[int, int] = (0, 0)
        """Workers that hosted no place when it was looked last, and all."""
        self._futures: dict[str, Future] = {}
        self._workers: dict[str, str] = {}
        """Address of the worker that hosts a place."""
        self._endings: dict[str, Ending] = {}
        self._turn: Semaphore | None = None
        """Held by the driver that chooses; a driver that dies loses it."""

    @property
    def dashboard(self) -> str:
        return self._cluster.dashboard

    def open(self) -> Address:
        return self._cluster.open()

    def staying(self, needs: Mapping[str, Need], present: Collection[str]) -> Collection[str]:
        return {name for name in present if name in self._futures and needs.get(name) == self._needs.get(name)}

    def place(self, invitation: Invitation, needs: Mapping[str, Need], staying: Collection[str]) -> None:
        for name in self._futures.keys() - set(staying):
            self._give_up(name)
        self._endings.clear()
        self._invitation, self._needs = invitation, dict(needs)
        self._pending = {name: need for name, need in needs.items() if name not in staying}
        self._cluster.have(len(needs))
        self._reserve()

    def waits(self, name: str) -> str:
        if name not in self._pending:
            return "waiting for its Dask task to start and to call the driver"
        free, there = self._free
        return f"waiting for Dask to have {len(self._pending)} free workers at once, and {free} of {there} are free"

    def endings(self) -> Mapping[str, Ending]:
        self._reserve()
        for name, future in self._futures.items():
            if name not in self._endings and (ending := _ending(future, self._workers[name])) is not None:
                self._endings[name] = ending
        return self._endings

    def leave(self) -> None:
        if self._futures:
            self._cluster.wait(self._futures.values(), _LEAVE_S)
        for name in list(self._futures):
            self._give_up(name)
        self._pending.clear()
        self._endings.clear()

    def close(self) -> None:
        self.leave()
        if self._turn is not None:
            self._cluster.client.loop.add_callback(self._turn.refresh_callback.stop)
            self._turn = None
        self._cluster.close()

    def _reserve(self) -> None:
        """All pending places or none; one who does so at a time."""
        if not self._pending or len(self._chosen()) < len(self._pending):
            return
        client = self._cluster.client
        self._turn = self._turn or Semaphore(1, "pileus-places", scheduler_rpc=client.scheduler, loop=client.loop)
        if not self._turn.acquire(timeout=_TURN_S):
            return
        try:
            chosen = self._chosen()
            if len(chosen) == len(self._pending):
                for (name, need), worker in zip(self._pending.items(), chosen, strict=True):
                    self._submit(name, need, worker)
                self._pending.clear()
                self._wait_shown()
        finally:
            self._turn.release()

    def _chosen(self) -> list[str]:
        """Workers for the pending places, as far as there are free ones: those that have the least to do first."""
        client = self._cluster.client
        threads, tasks = client.nthreads(), client.processing()
        free = [worker for worker in threads if not any(str(key).startswith(_KEY) for key in tasks.get(worker, ()))]
        self._free = len(free), len(threads)
        if not self._cluster.is_own:
            fewest = max(need.cores for need in self._pending.values())
            free = [worker for worker in free if threads[worker] >= fewest]
        return sorted(free, key=lambda worker: len(tasks.get(worker, ())))[: len(self._pending)]

    def _submit(self, name: str, need: Need, worker: str) -> None:
        assert self._invitation is not None
        self._workers[name] = worker
        self._futures[name] = self._cluster.client.submit(
            host_place,
            self._invitation,
            name,
            need.cores,
            key=f"{_KEY}{self._invitation.group}-{name}",
            pure=False,
            retries=0,
            workers=[worker],
            allow_other_workers=False,
            resources={"GPU": need.gpus} if need.gpus and not self._cluster.is_own else None,
        )

    def _wait_shown(self) -> None:
        """Until the scheduler tells of what was submitted, so that whoever chooses next sees it."""
        until = time.monotonic() + _SHOWN_S
        wanted = {future.key for future in self._futures.values() if future.status == "pending"}
        while time.monotonic() < until:
            shown = {key for keys in self._cluster.client.processing().values() for key in keys}
            if wanted <= shown:
                return
            time.sleep(_LOOK_S)

    def _give_up(self, name: str) -> None:
        self._workers.pop(name)
        self._futures.pop(name).cancel()


def _ending(future: Future, worker: str) -> Ending | None:
    where = f"Dask worker {worker}"
    match future.status:
        case "pending":
            return None
        case "finished":
            return Ending(f"it left {where}", is_for_good=False)
        case "error":
            error: Any = future.exception()
            if isinstance(error, KilledWorker):
                return Ending(f"{where} died", is_for_good=False)
            return Ending(f"{where}: {error or type(error).__name__}", is_for_good=True)
        case other:
            return Ending(f"{where}: {other}", is_for_good=False)
