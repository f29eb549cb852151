"""Train a run from a spec, or take one up again."""

from __future__ import annotations

import datetime
import importlib.metadata
import time
from typing import Any

import msgspec
import numpy as np

from pileus.data.batches import positions_of
from pileus.data.ports import Split
from pileus.engines.connect import connect
from pileus.engines.ports import Engine
from pileus.errors import Interrupted, SourceError, SpecError, UsageError, WorkFailed
from pileus.measure.environment import describe_environment
from pileus.models.registry import NETWORKS
from pileus.operations.controller import Controller, Ended
from pileus.operations.observer import Observer, Silent
from pileus.operations.pack import Packed, pack
from pileus.operations.prepare import prepare_records
from pileus.operations.signals import stop_requests
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.life import states as s
from pileus.spec.job import Fault
from pileus.spec.resolve import did_you_mean
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec
from pileus.store import open_store, resolve_uri


class TrainResult(Spec, frozen=True, kw_only=True):
    """What `pileus train --json` prints; kept in the run as `result.json`."""

    run: str
    uri: str
    state: str
    epochs: int
    steps: int
    samples_seen: int
    train_s: float
    accuracy: float | None
    """On the test part, in [0, 1], by the packed bundle; None where there is no test part."""
    fingerprint: str
    engine: str
    workers: int
    strategy: str
    bundle: str
    validation_accuracy: float | None
    restarts: int
    phases_s: dict[str, float]
    report: str


def train(
    spec: RunSpec,
    *,
    runs: str = "runs",
    name: str | None = None,
    recipe: str = "",
    engine: Engine | None = None,
    observer: Observer | None = None,
    faults: tuple[Fault, ...] = (),
) -> TrainResult:
    """From labelled images to a bundle.

    Raises UsageError and its kin before anything starts, Interrupted after an orderly stop, WorkFailed with rank and
    cause; in the last two the run can be taken up by `resume`.
    """
    observer = observer or Silent()
    chosen = engine or _engine(spec)
    _check(spec, chosen)
    runs_uri = resolve_uri(runs)
    started = time.perf_counter()
    records = prepare_records(spec.data, runs_uri, observer)
    _check_records(records, spec)
    records_s = time.perf_counter() - started
    now = datetime.datetime.now(datetime.UTC)
    name = name or f"{recipe or spec.model}-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
    plan = Plan(
        name=_checked_name(name),
        recipe=recipe or spec.model,
        spec=spec,
        records_uri=records.uri,
        records_fingerprint=records.fingerprint,
        pileus_version=importlib.metadata.version("pileus"),
    )
    directory = RunDirectory(open_store(f"{runs_uri}/{name}"))
    directory.create(plan, describe_environment())
    observer.say(f"run {name} at {directory.uri.removeprefix('file:')}")
    return _drive(directory, plan, chosen, observer, faults, records_s)


def resume(
    place: str,
    *,
    engine: str | Engine | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
    faults: tuple[Fault, ...] = (),
) -> TrainResult:
    """Go on from the newest checkpoint that verifies, also elsewhere and with another number of workers.

    A finished run is given back as it is. RunTaken where a living process drives it.
    """
    directory = RunDirectory(open_store(place))
    plan = directory.plan()
    if (result := directory.result()) is not None:
        return msgspec.convert(result, TrainResult)
    changes: dict[str, Any] = {} if workers is None else {"workers": workers}
    if isinstance(engine, str):
        changes["engine"] = msgspec.structs.replace(plan.spec.engine, name=engine)
    spec = msgspec.structs.replace(plan.spec, **changes)
    chosen = engine if engine is not None and not isinstance(engine, str) else _engine(spec)
    _check(spec, chosen)
    records = open_records(plan.records_uri)
    if records.fingerprint != plan.records_fingerprint:
        raise UsageError(f"the records at {plan.records_uri} are not those that the run began with; restore them.")
    plan = msgspec.structs.replace(plan, spec=spec)
    return _drive(directory, plan, chosen, observer or Silent(), faults, records_s=0.0)


def _drive(
    directory: RunDirectory,
    plan: Plan,
    engine: Engine,
    observer: Observer,
    faults: tuple[Fault, ...],
    records_s: float,
) -> TrainResult:
    directory.drive()
    packed: list[Packed] = []

    def finish(fingerprint: str) -> None:
        observer.say("packing: test, bundle, report")
        packed.append(pack(directory, plan, fingerprint))

    num_train = len(positions_of(open_records(plan.records_uri), Split.TRAIN, plan.spec.data))
    controller = Controller(directory, plan, engine, observer=observer, pack=finish, faults=faults)
    with stop_requests() as requests:
        ended = controller.drive(requests, num_train * plan.spec.epochs)
    again = f"pileus runs resume {directory.uri.removeprefix('file:')}"
    match ended.state:
        case s.Interrupted(reason=reason):
            raise Interrupted(f"interrupted ({reason}); what is done is saved. Go on with: {again}")
        case s.Failed(reason=reason):
            raise WorkFailed(f"run {plan.name} failed: {reason}\nIts last checkpoint is kept; try again with: {again}")
        case s.Done():
            return _finished(directory, plan, packed[0], ended, records_s)


def _finished(directory: RunDirectory, plan: Plan, packed: Packed, ended: Ended, records_s: float) -> TrainResult:
    spec, last = plan.spec, directory.epochs()[-1]
    result = TrainResult(
        run=plan.name,
        uri=directory.uri,
        state="done",
        epochs=spec.epochs,
        steps=last.step,
        samples_seen=last.samples,
        train_s=round(ended.training_s, 3),
        accuracy=packed.accuracy,
        fingerprint=last.fingerprint,
        engine=spec.engine.name,
        workers=spec.workers,
        strategy=msgspec.to_builtins(spec.strategy)["name"],
        bundle=f"{directory.uri}/bundle",
        validation_accuracy=last.validation_accuracy,
        restarts=ended.restarts,
        phases_s={
            "records": round(records_s, 3),
            "start-up": round(ended.startup_s, 3),
            "training": round(ended.training_s, 3),
            **packed.phases_s,
        },
        report=f"{directory.uri}/report.html",
    )
    packed.write_report(result.phases_s)
    directory.write_result(result)
    return result


def _engine(spec: RunSpec) -> Engine:
    return connect(spec.engine.name, cores=describe_environment().cores.usable)


def _check(spec: RunSpec, engine: Engine) -> None:
    """What can be refused before anything starts."""
    if spec.model not in NETWORKS:
        raise SpecError(f"no model is called {spec.model!r}; {did_you_mean(spec.model, NETWORKS)}")
    strategy = msgspec.to_builtins(spec.strategy)["name"]
    if strategy not in engine.capabilities.strategies:
        can = ", ".join(sorted(engine.capabilities.strategies))
        raise SpecError(f"engine {engine.name!r} cannot run strategy {strategy!r}; it can run: {can}.")


def _check_records(records: RecordSet, spec: RunSpec) -> None:
    train = positions_of(records, Split.TRAIN, spec.data)
    present = len(np.unique(records.labels[train]))
    if present < 2:
        raise SourceError(
            f"training needs samples of at least two classes (got {len(train)} samples of {present}) in the train part "
            f"of {spec.data.source}."
        )


def _checked_name(name: str) -> str:
    if not name or name.startswith(".") or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise UsageError(f"a run's name is letters, digits, '-', '_' and '.' (got {name!r}); choose another --name.")
    return name
