"""One training as a process of its own.

    python -m pileus.bench.fingerprints.trial < task.json

prints one line of JSON, an Outcome or {"error": ...}. A disturbance that did not happen is a failure: it would prove
nothing.
"""

from __future__ import annotations

import sys
import tempfile

import msgspec

from pileus.bench.fingerprints.design import MOVED_TO, Trial
from pileus.bench.process import answer
from pileus.data.batches import positions_of
from pileus.data.ports import Split
from pileus.errors import UsageError, WorkFailed
from pileus.operations.train import TrainResult, resume, train
from pileus.records.read import open_records
from pileus.runs.directory import RunDirectory
from pileus.spec.job import Fault
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec
from pileus.store import open_store
from pileus.training.checkpoint import describe_checkpoint

_RUN = "trial"
_EACH_STEP_S = 0.001
_ALL = 1_000_000
"""Checkpoints: so that the one that it was taken up from is there to be looked at."""


class Task(Spec, frozen=True, kw_only=True):
    """What a trial is told."""

    trial: Trial
    spec: RunSpec
    """With the engine and the number of workers that the trial begins with."""
    then: str
    """NAME or NAME@ADDRESS that it is moved to."""
    folder: str
    """For the run."""


class Outcome(Spec, frozen=True, kw_only=True):
    """What came of a training."""

    fingerprint: str
    steps: int
    accuracy: float | None
    """On the test part."""
    disturbed_at: int | None
    """Global step; None: it was not."""


def measure(task: Task) -> Outcome:
    """WorkFailed where the training fails, or was not disturbed as it should have been."""
    with tempfile.TemporaryDirectory(dir=task.folder) as runs:
        match task.trial.case:
            case "whole":
                return _outcome(train(task.spec, runs=runs, name=_RUN))
            case "killed":
                return _killed(task.spec, runs)
            case _:
                return _moved(task, runs)


def _killed(spec: RunSpec, runs: str) -> Outcome:
    step = middle_of_last_epoch(spec)
    fault = Fault(kind="kill_worker", rank=1, step=step)
    result = train(spec, runs=runs, name=_RUN, faults=(fault,))
    if not result.restarts:
        raise WorkFailed("no gang was started anew: the kill did not happen.")
    return _outcome(result, step)


def _moved(task: Task, runs: str) -> Outcome:
    """A worker is killed, nobody starts it again, and another engine takes the run up from the newest checkpoint."""
    spec, step = task.spec, middle_of_last_epoch(task.spec)
    fragile = msgspec.structs.replace(
        spec,
        engine=msgspec.structs.replace(spec.engine, max_restarts=0),
        checkpoints=msgspec.structs.replace(spec.checkpoints, every_s=_EACH_STEP_S, keep=_ALL),
    )
    try:
        train(fragile, runs=runs, name=_RUN, faults=(Fault(kind="kill_worker", rank=1, step=step),))
    except WorkFailed:
        place = f"{runs}/{_RUN}"
    else:
        raise WorkFailed("the run was not stopped: the kill did not happen.")
    result = resume(place, engine=task.then, workers=MOVED_TO)
    store = open_store(place)
    begun = [event.data for event in RunDirectory(store).events() if event.kind == "launch"]
    key = begun[-1]["checkpoint"]
    position = None if key is None else describe_checkpoint(store, key).manifest.position
    if len(begun) != 2 or position is None or not position.step:
        raise WorkFailed(f"it was not taken up in mid-epoch (got {len(begun)} gangs, the last from {key}).")
    return _outcome(result, position.global_step)


def middle_of_last_epoch(spec: RunSpec) -> int:
    """Global step, counted from 0. UsageError where an epoch has no middle."""
    samples = len(positions_of(open_records(spec.data.source), Split.TRAIN, spec.data.validation))
    steps = -(-samples // spec.batch_size)
    if steps < 3:
        raise UsageError(f"an epoch of {steps} steps cannot be disturbed in its middle; lower batch_size.")
    return (spec.epochs - 1) * steps + steps // 2


def _outcome(result: TrainResult, disturbed_at: int | None = None) -> Outcome:
    return Outcome(
        fingerprint=result.fingerprint, steps=result.steps, accuracy=result.accuracy, disturbed_at=disturbed_at
    )


if __name__ == "__main__":
    sys.exit(answer(measure, Task))
