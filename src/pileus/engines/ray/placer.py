"""Places as Ray's actors, one in each bundle of a placement group: Ray has all bundles or none."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import ray
import ray.exceptions
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pileus.engines.hosts.address import Address
from pileus.engines.hosts.launch import Ending
from pileus.engines.places.attend import attend
from pileus.engines.places.invitation import Invitation
from pileus.engines.places.ports import Need
from pileus.engines.places.stories import telling_line
from pileus.engines.ray.cluster import RayCluster
from pileus.errors import PileusError

_LEAVE_S = 5.0


class Attendant:
    """The actor. Its one method lasts as long as the place does."""

    def attend(self, invitation: Invitation, name: str, cores: int) -> str:
        return attend(invitation, name, cores)


class RayPlacer:
    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster
        self._group: PlacementGroup | None = None
        self._needs: Mapping[str, Need] = {}
        self._actors: dict[str, Any] = {}
        self._ends: dict[str, Any] = {}
        """By name, the reference to what `attend` returns."""
        self._endings: dict[str, Ending] = {}

    @property
    def dashboard(self) -> str:
        return self._cluster.dashboard

    def open(self) -> Address:
        return self._cluster.open()

    def staying(self, needs: Mapping[str, Need], present: Collection[str]) -> Collection[str]:
        return {name for name in present if name in self._actors} if needs == self._needs else ()

    def place(self, invitation: Invitation, needs: Mapping[str, Need], staying: Collection[str]) -> None:
        if needs != self._needs:
            self._clear()
        self._needs = dict(needs)
        self._endings.clear()
        if self._group is None:
            self._group = placement_group([self._bundle(need) for need in needs.values()], strategy="PACK")
        for number, (name, need) in enumerate(needs.items()):
            if name not in staying:
                self._kill(name)
                self._actors[name] = self._actor(number, need)
                self._ends[name] = self._actors[name].attend.remote(invitation, name, need.cores)

    def waits(self, name: str) -> str:
        if self._group is not None and self._group.wait(0):
            return "waiting for its Ray actor to start and to call the driver"
        free, there = ray.available_resources(), ray.cluster_resources()
        wanted = f"{len(self._needs)} times {next(iter(self._needs.values()))}"
        kinds = ["CPU", *(["GPU"] if any(need.gpus for need in self._needs.values()) else [])]
        told = " and ".join(f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}" for kind in kinds)
        return f"waiting for Ray to have {wanted} at once, of whose {told} are free"

    def endings(self) -> Mapping[str, Ending]:
        running = {end: name for name, end in self._ends.items() if name not in self._endings}
        over, _ = ray.wait(list(running), num_returns=len(running), timeout=0) if running else ([], [])
        for end in over:
            self._endings[running[end]] = _ending(end)
        return self._endings

    def leave(self) -> None:
        if self._ends and ray.is_initialized():
            ray.wait(list(self._ends.values()), num_returns=len(self._ends), timeout=_LEAVE_S)
            self._clear()

    def close(self) -> None:
        self.leave()
        self._cluster.close()

    def _actor(self, number: int, need: Need) -> Any:
        assert self._group is not None
        strategy = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=number)
        taken = {"num_cpus": self._bundle(need)["CPU"], "num_gpus": need.gpus, "scheduling_strategy": strategy}
        return ray.remote(Attendant).options(max_restarts=0, max_task_retries=0, **taken).remote()

    def _bundle(self, need: Need) -> dict[str, float]:
        cpus = self._cluster.share(need.cores, len(self._needs))
        return {"CPU": cpus, **({"GPU": need.gpus} if need.gpus else {})}

    def _kill(self, name: str) -> None:
        actor = self._actors.pop(name, None)
        self._ends.pop(name, None)
        if actor is not None:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(actor)

    def _clear(self) -> None:
        for name in list(self._actors):
            self._kill(name)
        if self._group is not None:
            remove_placement_group(self._group)
            self._group = None
        self._endings.clear()


def _ending(end: Any) -> Ending:
    try:
        return Ending(f"it left: {ray.get(end)}", is_for_good=False)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, PileusError) else error
        return Ending(_last_line(cause), is_for_good=True)
    except ray.exceptions.RaySystemError as error:
        return Ending(f"its node cannot run Pileus: {_last_line(error)}", is_for_good=True)
    except ray.exceptions.RayError as error:
        return Ending(telling_line(error, "died", "killed", "exit"), is_for_good=False)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
