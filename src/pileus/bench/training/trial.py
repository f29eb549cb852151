"""One trial: a run of its own, whose whole epochs but the first are counted until they are seconds enough.

    python -m pileus.bench.training.trial < task.json

prints one line of JSON, an Outcome or {"error": ...}. The run is driven by the controller of every run, on so many
cores as its workers may use, and stopped in order; it is not packed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pileus.bench.process import answer
from pileus.bench.training.design import MAX_DEADLINE_S
from pileus.bench.training.network import loopback_bytes
from pileus.data.batches import positions_of, shape_of
from pileus.data.ports import Split
from pileus.engines.connect import connect
from pileus.engines.ports import Engine, GangEvent
from pileus.errors import WorkFailed
from pileus.measure.environment import describe_environment
from pileus.models.registry import build
from pileus.operations.begin import settle_precision
from pileus.operations.controller import Controller
from pileus.operations.observer import Silent
from pileus.operations.signals import StopRequests
from pileus.operations.trials.watched import Watched
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.life import states as s
from pileus.spec.job import EpochDone
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec
from pileus.store import open_store
from pileus.training.network import Problem

_NOT_OF_A_STEP = "validation"
_STALENESS = "staleness_"


class Task(Spec, frozen=True, kw_only=True):
    """What a trial is told."""

    spec: RunSpec
    records_uri: str
    folder: str
    """For the run."""
    seconds: float
    """Of counted epochs, at least."""
    cores: int
    """Of each worker."""


class Outcome(Spec, frozen=True, kw_only=True):
    """What a trial found, of the counted epochs. Phases are those of rank 0."""

    start_s: float
    """From the controller's begin to the first step: processes, records, the gang."""
    epochs: int
    steps: int
    samples: int
    seconds: float
    phases_s: dict[str, float]
    """data, compute, exchange, optimizer, checkpoint: what a strategy tells apart."""
    network_bytes: int | None
    """Over the loopback interface meanwhile, by all members; None where they are threads, or the system does not tell.
    """
    staleness: float | None
    """Mean of the servers' pushes, in steps; None where the strategy has no servers."""
    parameters: int
    """Of the network, that are trained."""

    @property
    def samples_per_s(self) -> float:
        return self.samples / self.seconds


class _Counted:
    """Epochs as they end; asks for the stop when enough are counted."""

    def __init__(self, seconds: float, requests: StopRequests) -> None:
        self._seconds = seconds
        self._requests = requests
        self.began = time.perf_counter()
        self.start_s = 0.0
        self.first: EpochDone | None = None
        self.epochs: list[EpochDone] = []
        self._bytes: int | None = None
        self.network_bytes: int | None = None

    def hear(self, event: GangEvent) -> None:
        if isinstance(event, EpochDone):
            self._see(event)

    def _see(self, done: EpochDone) -> None:
        if self.first is None:
            self.first, self._bytes = done, loopback_bytes()
            self.start_s = time.perf_counter() - self.began - done.seconds
            return
        if self._requests.count:
            return
        self.epochs.append(done)
        if sum(map(_seconds, self.epochs)) >= self._seconds:
            now = loopback_bytes()
            self.network_bytes = None if now is None or self._bytes is None else now - self._bytes
            self._requests.note(signal.SIGINT, None)


def measure(task: Task) -> Outcome:
    """WorkFailed where the run fails or ends before its seconds are over; UsageError and the like before it starts."""
    spec = task.spec
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[: min(len(allowed), task.cores * spec.workers)])
    records = open_records(task.records_uri)
    problem = Problem(shape_of(records, spec.data.size), len(records.classes))
    spec = settle_precision(spec, problem, Silent())
    requests = StopRequests()
    counted = _Counted(task.seconds, requests)
    with tempfile.TemporaryDirectory(dir=task.folder) as folder:
        engine = connect(spec.engine.name, address=spec.engine.address, cores=task.cores * spec.workers)
        with contextlib.closing(engine):
            watched = Watched(engine, time.monotonic() + MAX_DEADLINE_S, counted.hear)
            state = _driven(RunDirectory(open_store(Path(folder) / "run")), spec, records, watched, requests)
    if isinstance(state, s.Failed):
        raise WorkFailed(state.reason)
    if counted.first is None or not requests.count:
        raise WorkFailed("the run ended before its seconds were counted; ask for fewer --seconds or more --steps.")
    return _outcome(counted, counted.first, _num_parameters(spec, problem), engine.capabilities.processes)


def _driven(
    directory: RunDirectory, spec: RunSpec, records: RecordSet, engine: Engine, requests: StopRequests
) -> s.State:
    plan = Plan(
        name="trial",
        recipe=spec.model,
        spec=spec,
        records_uri=records.uri,
        records_fingerprint=records.fingerprint,
        pileus_version=importlib.metadata.version("pileus"),
    )
    directory.create(plan, describe_environment())
    directory.drive()
    try:
        controller = Controller(directory, plan, engine, observer=Silent(), pack=lambda fingerprint, spent: None)
        return controller.drive(requests, len(positions_of(records, Split.TRAIN, 0.0)) * spec.epochs)
    finally:
        directory.release()


def _outcome(counted: _Counted, first: EpochDone, parameters: int, has_processes: bool) -> Outcome:
    epochs = counted.epochs
    names = dict.fromkeys(name for done in epochs for name in done.phases_s if name != _NOT_OF_A_STEP)
    return Outcome(
        start_s=counted.start_s,
        epochs=len(epochs),
        steps=epochs[-1].step - first.step,
        samples=epochs[-1].samples - first.samples,
        seconds=sum(map(_seconds, epochs)),
        phases_s={name: sum(done.phases_s.get(name, 0.0) for done in epochs) for name in names},
        network_bytes=counted.network_bytes if has_processes else None,
        staleness=_staleness(epochs),
        parameters=parameters,
    )


def _seconds(done: EpochDone) -> float:
    return done.seconds - done.phases_s.get(_NOT_OF_A_STEP, 0.0)


def _staleness(epochs: list[EpochDone]) -> float | None:
    pushes: Counter[int] = Counter()
    for done in epochs:
        for name, count in done.agreement.items():
            if name.startswith(_STALENESS):
                pushes[int(name.removeprefix(_STALENESS))] += int(count)
    return sum(steps * count for steps, count in pushes.items()) / pushes.total() if pushes else None


def _num_parameters(spec: RunSpec, problem: Problem) -> int:
    network = build(spec.model, problem.shape_HWC, problem.num_classes, spec.seed)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    sys.exit(answer(measure, Task))
