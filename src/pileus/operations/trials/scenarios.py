"""The table of trials, as data: what befalls a run, at which coordinates, and how it must end.

Trial runs have 4 epochs of 20 steps, a checkpoint at the end of each, and 4 microbatches a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from pileus.spec.job import AT_START, Fault
from pileus.spec.values import Spec

EPOCHS = 4
SETTINGS = (f"epochs={EPOCHS}", "batch_size=64", "microbatch_size=16", "checkpoints.commit_s=0.2")
"""Of every trial, on scikit-learn's digits."""
_QUICK = "engine.silence_deadline_s=2"
_STEP, _LATER = 30, 50
"""In the second and in the third epoch."""
_BAND = 0.06
_SEEDS = (1, 2)
"""Beside 0, of runs whose weights depend on chance."""

End = Literal["done", "failed", "interrupted", "killed"]
Needs = Literal["threads", "processes", "network", "places"]


class Damage(Spec, frozen=True, kw_only=True):
    """Done to the newest checkpoint between two drives."""

    kind: Literal["truncated", "flipped", "missing"]


class Resize(Spec, frozen=True, kw_only=True):
    """Asked for while the run is under way."""

    after_epoch: int
    workers: int


class Scenario(Spec, frozen=True, kw_only=True):
    """One trial."""

    name: str
    about: str
    """What befalls the run, for a person."""
    faults: tuple[Fault, ...] = ()
    workers: int = 2
    settings: tuple[str, ...] = ()
    """NAME=VALUE, after those of every trial."""
    needs: Needs = "threads"
    """'processes': workers that the system can signal, on this machine. 'network': a network of its own, too.
    'places': processes of a cluster, which host the workers."""
    ends: End = "done"
    """How the first drive ends. Where it is not done, the run is taken up again, without faults, and must be."""
    restarts: int | None = 0
    """Gangs that are started again in the first drive, where it is done; None: some."""
    told: tuple[str, ...] = ()
    """What must be said, or stand in the run's events."""
    damage: Damage | None = None
    resize: Resize | None = None
    resumed_by: int | None = None
    """Workers that take the run up again; None: as many as before."""
    band: float | None = None
    """By how much the accuracy may be less than that of the run that nothing befell, where the strategy's weights
    depend on chance; None: the weights must be the same, bit for bit."""
    runs: int = 1
    """Side by side."""
    cut_after_epoch: int | None = None
    """The machine's own network is down from there until the next gang is started."""
    deadline_s: float = 60.0
    """For all of it, on two cores."""

    @property
    def is_apart(self) -> bool:
        """The run's controller is a process of its own, which may die, or whose network may."""
        if self.needs == "places":
            return False
        controllers = ("kill_controller", "terminate_controller")
        return self.runs > 1 or self.needs == "network" or any(fault.kind in controllers for fault in self.faults)


def _killed(*ranks: int, step: int = _STEP, attempt: int = 1) -> tuple[Fault, ...]:
    return tuple(Fault(kind="kill_worker", rank=rank, step=step, attempt=attempt) for rank in ranks)


def _over_seeds(scenario: Scenario) -> Iterator[Scenario]:
    """Where chance enters, one run says little."""
    yield scenario
    for seed in _SEEDS:
        settings = (*scenario.settings, f"seed={seed}")
        yield msgspec.structs.replace(scenario, name=f"{scenario.name}-seed-{seed}", settings=settings)


_FAILED_LATER = (Fault(kind="pause", rank=0, step=_LATER, seconds=0.5), Fault(kind="raise", rank=0, step=_LATER + 1))
"""When two checkpoints have been written."""
_HELD = Fault(kind="pause", rank=0, step=_STEP + 1, seconds=1.0)
"""So that what was asked for at the step before is heard before the run is done."""
_LOST = "was lost: killed"

_LOSSES = (
    Scenario(name="no-fault", about="nothing happens"),
    Scenario(
        name="exception",
        about="an exception in rank 1: the run ends and says where, and goes on when it is told to",
        faults=(Fault(kind="raise", rank=1, step=_STEP),),
        ends="failed",
        told=(f"rank 1, step {_STEP}: fault asked for",),
        resumed_by=3,
    ),
    Scenario(
        name="exit",
        about="rank 1 ends without a last word",
        faults=(Fault(kind="exit", rank=1, step=_STEP),),
        restarts=1,
        told=("rank 1 was lost: exit code",),
    ),
    Scenario(
        name="worker-killed",
        about="SIGKILL of rank 1",
        faults=_killed(1),
        restarts=1,
        told=(f"rank 1 {_LOST}",),
    ),
    Scenario(
        name="first-worker-killed",
        about="SIGKILL of rank 0, which writes the checkpoints",
        faults=_killed(0),
        restarts=1,
        told=(f"rank 0 {_LOST}",),
    ),
    Scenario(
        name="two-workers-killed",
        about="SIGKILL of two of three workers at once",
        faults=_killed(0, 2),
        workers=3,
        restarts=1,
        told=(_LOST,),
    ),
    Scenario(
        name="all-killed-again",
        about="SIGKILL of all workers, and of all of the next gang",
        faults=(*_killed(0, 1), *_killed(0, 1, step=_LATER, attempt=2)),
        restarts=2,
        told=(_LOST,),
    ),
    Scenario(
        name="killed-ever-again",
        about="SIGKILL of rank 1 in every gang: the number of restarts is bounded",
        faults=tuple(fault for attempt in (1, 2, 3) for fault in _killed(1, step=_STEP, attempt=attempt)),
        settings=("engine.max_restarts=2", "checkpoints.commit_s=null"),
        ends="failed",
        told=(f"rank 1 {_LOST}", "after 2 restarts without a new checkpoint"),
    ),
    Scenario(
        name="shrunk",
        about="SIGKILL of rank 2 in every gang, where fewer workers may go on",
        faults=tuple(fault for attempt in (1, 2, 3) for fault in _killed(2, step=_STEP, attempt=attempt)),
        settings=("engine.min_workers=1", "checkpoints.commit_s=null"),
        workers=3,
        restarts=None,
        told=("going on with 2 workers",),
    ),
)
_CONTROLLER = (
    Scenario(
        name="place-killed",
        about="SIGKILL of the process of the cluster that hosts rank 1: a Ray actor, a Dask worker, a task of Spark",
        faults=(Fault(kind="kill_controller", rank=1, step=_STEP),),
        needs="places",
        restarts=1,
        told=("was lost: its host place",),
    ),
    Scenario(
        name="controller-killed",
        about="SIGKILL of the process that drives the run",
        faults=(Fault(kind="kill_controller", rank=1, step=_STEP),),
        needs="processes",
        ends="killed",
        resumed_by=3,
    ),
    Scenario(
        name="notice-to-controller",
        about="SIGTERM of the process that drives the run, whose machine is to be taken away: it saves and leaves",
        faults=(Fault(kind="terminate_controller", rank=0, step=_STEP), _HELD),
        needs="processes",
        settings=("engine.notice_s=20",),
        ends="interrupted",
        told=("SIGTERM",),
    ),
    Scenario(
        name="notice-to-worker",
        about="SIGTERM of rank 1, whose machine is to be taken away: all save and come again",
        faults=(Fault(kind="terminate_worker", rank=1, step=_STEP), _HELD),
        needs="processes",
        told=("rank 1 is about to be taken away (SIGTERM)",),
    ),
)
_SLOW = (
    Scenario(
        name="stopped",
        about="SIGSTOP of rank 1: alive and silent",
        faults=(Fault(kind="stop", rank=1, step=_STEP),),
        needs="processes",
        settings=(_QUICK,),
        restarts=1,
        told=("rank 1",),
    ),
    Scenario(
        name="slow",
        about="rank 1 computes three times as long, for an epoch",
        faults=(Fault(kind="slow", rank=1, step=5, steps=20, factor=3.0),),
        settings=(_QUICK,),
    ),
    Scenario(
        name="jitter",
        about="now this and now that rank is held up: none is given up",
        faults=tuple(Fault(kind="pause", rank=step % 2, step=step, seconds=0.05) for step in range(5, 35)),
        settings=(_QUICK,),
    ),
)
_NETWORK = (
    Scenario(
        name="partition-mended",
        about="nothing reaches rank 1 for a second: the run goes on as if nothing had been",
        faults=(Fault(kind="cut", rank=1, step=_STEP, seconds=1.0),),
        needs="processes",
        settings=("engine.silence_deadline_s=15",),
    ),
    Scenario(
        name="partition",
        about="nothing reaches rank 1 any more",
        faults=(Fault(kind="cut", rank=1, step=_STEP),),
        needs="processes",
        settings=(_QUICK,),
        restarts=1,
        told=(" lost rank ",),
    ),
    Scenario(
        name="packet-loss",
        about="all packets are lost, on a network of the run's own, until the gang is given up",
        faults=(Fault(kind="pause", rank=0, step=41, seconds=1.0),),
        cut_after_epoch=1,
        needs="network",
        settings=(_QUICK,),
        restarts=1,
        told=(" lost rank ",),
    ),
    Scenario(
        name="two-runs-at-once",
        about="two runs start at the same moment and want ports",
        runs=2,
        needs="processes",
    ),
)
_START = (
    Scenario(
        name="late",
        about="rank 1 comes a second late",
        faults=(Fault(kind="pause", rank=1, step=AT_START, seconds=1.0),),
    ),
    Scenario(
        name="missing",
        about="rank 1 never comes: the run says who is missing, and with what it was busy",
        faults=(Fault(kind="stop", rank=1, step=AT_START),),
        needs="processes",
        settings=("engine.start_deadline_s=5",),
        ends="failed",
        told=("rank 1 of 2 had not reported",),
    ),
    Scenario(
        name="missing-but-enough",
        about="rank 1 never comes, where one worker is enough",
        faults=(Fault(kind="stop", rank=1, step=AT_START),),
        needs="processes",
        settings=("engine.start_deadline_s=5", "engine.min_workers=1"),
        restarts=None,
        told=("going on with 1 workers",),
    ),
    Scenario(
        name="killed-at-start",
        about="SIGKILL of rank 1 before it has reported",
        faults=_killed(1, step=AT_START),
        restarts=1,
        told=(f"rank 1 {_LOST}",),
    ),
    Scenario(
        name="joined",
        about="a third worker joins in mid-run",
        faults=tuple(Fault(kind="pause", rank=0, step=step, seconds=0.1) for step in range(20, 65)),
        resize=Resize(after_epoch=0, workers=3),
        told=("resized from 2 to 3 workers",),
    ),
)
_SAVES = (
    Scenario(
        name="killed-in-save",
        about="SIGKILL in the middle of writing a checkpoint",
        faults=(Fault(kind="kill_in_save", rank=0, step=_STEP),),
        restarts=1,
        told=(f"rank 0 {_LOST}",),
    ),
    *(
        Scenario(
            name=f"checkpoint-{kind}",
            about=f"the newest checkpoint is {kind} when the run is taken up again: the one before it serves",
            faults=_FAILED_LATER,
            ends="failed",
            damage=Damage(kind=kind),
            told=("checkpoint passed over",),
        )
        for kind in ("truncated", "flipped", "missing")
    ),
    Scenario(
        name="store-error",
        about="the store refuses a checkpoint, and takes it a little later",
        faults=(Fault(kind="store_error", rank=0, step=_STEP),),
        restarts=1,
        told=("cannot be written",),
    ),
    Scenario(
        name="store-out",
        about="the store refuses every checkpoint: the run ends, and goes on when the store does",
        faults=tuple(Fault(kind="store_error", rank=0, step=0, attempt=attempt) for attempt in (1, 2)),
        settings=("engine.max_restarts=1",),
        ends="failed",
        told=("cannot be written", "after 1 restarts"),
    ),
    Scenario(
        name="store-slow",
        about="the store takes a tenth of a second more for each value",
        faults=(Fault(kind="slow_store", rank=0, step=0, seconds=0.1),),
    ),
)
_NUMBERS = (
    Scenario(
        name="nan",
        about="the loss of rank 1 is not a number",
        faults=(Fault(kind="nan", rank=1, step=_STEP),),
        ends="failed",
        told=(f"rank 1, step {_STEP}", f"not finite at step {_STEP}, microbatch"),
    ),
    Scenario(
        name="nan-everywhere",
        about="the loss of every rank is not a number",
        faults=tuple(Fault(kind="nan", rank=rank, step=_STEP) for rank in (0, 1)),
        ends="failed",
        told=(f"not finite at step {_STEP}, microbatch",),
    ),
)
_SERVED = ("strategy.name=parameter_server",)
_SHARDED = (*_SERVED, "strategy.servers=2")
_STRATEGIES = (
    Scenario(
        name="server-killed",
        about="SIGKILL of the parameter server",
        faults=_killed(2),
        settings=_SERVED,
        restarts=1,
        told=(f"rank 2 {_LOST}",),
    ),
    Scenario(
        name="shard-killed",
        about="SIGKILL of one of two parameter servers",
        faults=_killed(3),
        settings=_SHARDED,
        restarts=1,
        told=(f"rank 3 {_LOST}",),
    ),
    Scenario(
        name="server-stopped",
        about="SIGSTOP of one of two parameter servers",
        faults=(Fault(kind="stop", rank=2, step=_STEP),),
        needs="processes",
        settings=(*_SHARDED, _QUICK),
        restarts=1,
        told=("rank 2",),
    ),
    Scenario(
        name="served-worker-killed",
        about="SIGKILL of a worker of a parameter server",
        faults=_killed(1),
        settings=_SERVED,
        restarts=1,
        told=(f"rank 1 {_LOST}",),
    ),
    *_over_seeds(
        Scenario(
            name="async-worker-killed",
            about="SIGKILL of a worker of two asynchronous parameter servers",
            faults=_killed(1),
            settings=(*_SHARDED, "strategy.mode=async"),
            restarts=1,
            told=(f"rank 1 {_LOST}",),
            band=_BAND,
        )
    ),
    *_over_seeds(
        Scenario(
            name="async-slow",
            about="a worker of an asynchronous parameter server computes three times as long, for an epoch",
            faults=(Fault(kind="slow", rank=1, step=5, steps=20, factor=3.0),),
            settings=(*_SERVED, "strategy.mode=async", _QUICK),
            band=_BAND,
        )
    ),
    Scenario(
        name="local-worker-killed",
        about="SIGKILL of a worker that steps by itself between averages",
        faults=_killed(1),
        settings=("strategy.name=local_sgd", "strategy.steps=8"),
        restarts=1,
        told=(f"rank 1 {_LOST}",),
        band=_BAND,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*_LOSSES, *_CONTROLLER, *_SLOW, *_NETWORK, *_START, *_SAVES, *_NUMBERS, *_STRATEGIES)
