"""Train a run from a spec, or take one up again."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pileus.data.batches import positions_of, shape_of
from pileus.data.ports import Split
from pileus.engines.connect import check_resizable, connect
from pileus.engines.ports import Engine
from pileus.errors import (
    Interrupted,
    MissingService,
    PileusError,
    SourceError,
    SpecError,
    StoreError,
    UsageError,
    WorkFailed,
)
from pileus.machine import count_cores
from pileus.measure.environment import describe_environment
from pileus.models.registry import check_network
from pileus.operations.begin import (
    Donor,
    check_head,
    find_donor,
    keep_donor,
    settle_device,
    settle_precision,
    warn_of_slow_precision,
)
from pileus.operations.charts import Charted
from pileus.operations.controller import Controller
from pileus.operations.neighbours import check_neighbours, fit
from pileus.operations.observer import Observer, Silent
from pileus.operations.pack import pack, ship
from pileus.operations.prepare import prepare_records
from pileus.operations.signals import StopRequests, stop_requests
from pileus.records.read import RecordSet, open_records
from pileus.runs.directory import Plan, RunDirectory
from pileus.runs.history import Spent
from pileus.runs.life import states as s
from pileus.runs.wishes import wish_workers
from pileus.spec.job import EpochDone, Fault
from pileus.spec.neighbours import KNN
from pileus.spec.resolve import resolve, split_engine
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec
from pileus.store import open_store, resolve_uri
from pileus.training.network import Problem, first_network


class TrainResult(Spec, frozen=True, kw_only=True):
    """What `pileus train --json` prints; kept in the run as `result.json`.

    Accuracies are of what is packed; the other figures are of the last step.
    """

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
    device: str = "cpu"
    """Where networks computed in the end."""


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
    runs_uri = resolve_uri(runs)
    if not open_store(runs_uri).abilities.write:
        raise UsageError(f"a run is written as it goes (got --runs {runs}, which is read-only); name another place.")
    spec = settle_device(spec)
    _check(spec, runs_uri, engine)
    spec, donor = find_donor(spec, runs_uri)
    directory, name = _new_run(runs_uri, name, recipe or spec.model)
    started = time.perf_counter()
    with stop_requests() as requests:
        try:
            with requests.at_once():
                records = prepare_records(spec.data, runs_uri, observer)
                spec = _settled(spec, records, donor, observer)
                keep_donor(spec, runs_uri, directory.store)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted ({requests.reason}) before training; no run was begun: give the command again."
            ) from None
        records_s = time.perf_counter() - started
        plan = Plan(
            name=name,
            recipe=recipe or spec.model,
            spec=spec,
            records_uri=records.uri,
            records_fingerprint=records.fingerprint,
            pileus_version=importlib.metadata.version("pileus"),
        )
        directory.create(plan, describe_environment())
        observer.say(f"run {name} at {directory.place}")
        with _engine(spec, engine) as chosen:
            return _drive(_Drive(directory, plan, chosen, observer, requests, faults, records_s))


def resume(
    place: str,
    *,
    engine: str | Engine | None = None,
    workers: int | None = None,
    device: str | None = None,
    observer: Observer | None = None,
    faults: tuple[Fault, ...] = (),
) -> TrainResult:
    """Go on from the newest checkpoint that verifies, also elsewhere, on another device, with other workers.

    A finished run is given back as it is. RunTaken where a living process drives it, or takes it up first.
    """
    directory = RunDirectory(open_store(place))
    plan = directory.plan()
    if (result := directory.result(TrainResult)) is not None:
        return result
    changes: dict[str, Any] = {} if workers is None else {"workers": workers}
    if device is not None:
        changes["device"] = device
    if engine is not None:
        name, address = split_engine(engine) if isinstance(engine, str) else (engine.name, None)
        changes["engine"] = msgspec.structs.replace(plan.spec.engine, name=name, address=address)
    given = None if isinstance(engine, str) else engine
    spec = settle_device(_changed(plan.spec, changes))
    _check(spec, directory.uri, given)
    observer = observer or Silent()
    warn_of_slow_precision(spec, observer)
    records = open_records(plan.records_uri)
    if records.fingerprint != plan.records_fingerprint:
        raise UsageError(f"the records at {plan.records_uri} are not those that the run began with; restore them.")
    plan = msgspec.structs.replace(plan, spec=spec)
    with stop_requests() as requests, _engine(spec, given) as chosen:
        return _drive(_Drive(directory, plan, chosen, observer, requests, faults, records_s=0.0))


class Resized(Spec, frozen=True, kw_only=True):
    """What `pileus runs resize --json` prints."""

    run: str
    uri: str
    workers: int
    """The number that the run was asked to go on with."""


def resize(directory: RunDirectory, workers: int) -> Resized:
    """Ask a run under way, wherever its controller lives, to go on with so many workers; it does so within seconds.

    SpecError for a number that cannot be, UsageError where nobody drives the run.
    """
    plan = directory.plan()
    _changed(plan.spec, {"workers": workers})
    engine = next((event.data["engine"] for event in reversed(directory.events()) if event.kind == "launch"), None)
    if engine is not None:
        check_resizable(engine)
    driver = directory.driver()
    if driver is None or driver.is_dead:
        done = directory.result(TrainResult) is not None
        way_out = "it is done." if done else f"go on with it: {directory.resume_command} --workers {workers}"
        raise UsageError(f"only a run under way can be resized, and nobody drives {directory.place}; {way_out}")
    wish_workers(directory.store, workers)
    return Resized(run=plan.name, uri=directory.uri, workers=workers)


class _Drive(NamedTuple):
    """One drive of a run."""

    directory: RunDirectory
    plan: Plan
    engine: Engine
    observer: Observer
    requests: StopRequests
    faults: tuple[Fault, ...]
    records_s: float


def _drive(drive: _Drive) -> TrainResult:
    directory, plan = drive.directory, drive.plan
    if plan.spec.model == KNN:
        return _without_steps(drive)
    kept = f"What was saved is kept; once that is mended, go on with: {directory.resume_command}"

    def finish(fingerprint: str, spent: Spent) -> None:
        _tell_early_end(plan.spec, directory.epochs(), drive.observer)
        drive.observer.say("packing: test, bundle, report")
        _finish(drive, fingerprint, spent)

    directory.drive()
    try:
        num_train = len(positions_of(open_records(plan.records_uri), Split.TRAIN, plan.spec.data.validation))
        observer = Charted(drive.observer, directory, num_train)
        controller = Controller(directory, plan, drive.engine, observer=observer, pack=finish, faults=drive.faults)
        state = controller.drive(drive.requests, num_train * plan.spec.epochs)
    except (StoreError, WorkFailed, MissingService) as error:
        raise type(error)(f"{error}\n{kept}") from error
    finally:
        directory.release()
    match state:
        case s.Interrupted(reason=reason):
            raise Interrupted(f"interrupted ({reason}); what is done is saved. Go on with: {directory.resume_command}")
        case s.Failed(reason=reason, blame="pileus"):
            raise WorkFailed(f"run {plan.name} failed by a fault of Pileus: {reason}\n{kept}")
        case s.Failed(reason=reason):
            raise WorkFailed(f"run {plan.name} failed: {reason}\n{kept}")
        case s.Done():
            result = directory.result(TrainResult)
            assert result is not None
            return result


def _without_steps(drive: _Drive) -> TrainResult:
    """A run of the neighbour classifier: it has no gang and no checkpoint; taken up again it begins anew."""
    directory = drive.directory
    again = f"Do it again with: {directory.resume_command}"
    directory.drive()
    try:
        with drive.requests.at_once():
            result = _fitted(drive)
    except KeyboardInterrupt:
        directory.append("interrupted", reason=drive.requests.reason)
        raise Interrupted(f"interrupted ({drive.requests.reason}). {again}") from None
    except PileusError as error:
        directory.append("failed", reason=str(error))
        raise WorkFailed(f"run {drive.plan.name} failed: {error}\n{again}") from error
    finally:
        directory.release()
    return result


def _fitted(drive: _Drive) -> TrainResult:
    directory, plan, spec = drive.directory, drive.plan, drive.plan.spec
    attempt = 1 + sum(event.kind == "launch" for event in directory.events())
    directory.append("launch", attempt=attempt, engine=spec.engine.name, workers=spec.workers, checkpoint=None)
    started = time.perf_counter()
    records = open_records(plan.records_uri)
    graph = fit(directory, plan, records, drive.engine, drive.observer)
    directory.append("packing")
    drive.observer.say("packing: test, bundle, report")
    fitted = time.perf_counter()
    shipped = ship(directory, plan, records, graph)
    packed = time.perf_counter()
    result = TrainResult(
        run=plan.name,
        uri=directory.uri,
        state="done",
        epochs=0,
        steps=0,
        samples_seen=len(positions_of(records, Split.TRAIN, spec.data.validation)),
        train_s=round(fitted - started, 3),
        accuracy=shipped.measured.accuracy if shipped.measured else None,
        fingerprint=graph.fingerprint,
        engine=spec.engine.name,
        workers=spec.workers,
        strategy=msgspec.to_builtins(spec.strategy)["name"],
        bundle=f"{directory.uri}/bundle",
        validation_accuracy=shipped.manifest.metrics.get("validation_accuracy"),
        restarts=0,
        phases_s={
            "records": round(drive.records_s, 3),
            "neighbours": round(fitted - started, 3),
            "test and bundle": round(packed - fitted, 3),
        },
        report=f"{directory.uri}/report.html",
    )
    shipped.write_report(result.phases_s)
    directory.write_result(result)
    directory.append("done")
    return result


def _tell_early_end(spec: RunSpec, epochs: list[EpochDone], observer: Observer) -> None:
    if spec.early_stop is None or not epochs or len(epochs) == spec.epochs:
        return
    losses = {each.epoch: each.validation_loss for each in epochs if each.validation_loss is not None}
    best = min(losses, key=lambda epoch: losses[epoch])
    observer.say(
        f"ended early, after {len(epochs)} of {spec.epochs} epochs: the validation loss was lowest after epoch "
        f"{best + 1} ({losses[best]:.4f})"
    )


def _finish(drive: _Drive, fingerprint: str, spent: Spent) -> None:
    """Bundle, report, and last of all the result, whose presence makes the run done."""
    directory, spec = drive.directory, drive.plan.spec
    packed = pack(directory, drive.plan, fingerprint)
    epochs = directory.epochs()
    result = TrainResult(
        run=drive.plan.name,
        uri=directory.uri,
        state="done",
        epochs=packed.position.epoch,
        steps=packed.position.global_step,
        samples_seen=packed.position.samples,
        train_s=round(spent.training_s, 3),
        accuracy=packed.accuracy,
        fingerprint=packed.fingerprint,
        engine=spec.engine.name,
        workers=next(event.data["workers"] for event in reversed(directory.events()) if event.kind == "launch"),
        strategy=msgspec.to_builtins(spec.strategy)["name"],
        bundle=f"{directory.uri}/bundle",
        validation_accuracy=next((each.validation_accuracy for each in epochs if each.epoch == packed.epoch - 1), None),
        restarts=spent.restarts,
        phases_s={
            "records": round(drive.records_s, 3),
            "start-up": round(spent.startup_s, 3),
            "training": round(spent.training_s, 3),
            **packed.phases_s,
        },
        report=f"{directory.uri}/report.html",
        device=spec.device,
    )
    packed.write_report(result.phases_s)
    directory.write_result(result)


@contextlib.contextmanager
def _engine(spec: RunSpec, given: Engine | None) -> Iterator[Engine]:
    """The given engine, which stays open, or one of our own for the length of the block."""
    if given is not None:
        yield given
        return
    own = connect(spec.engine.name, address=spec.engine.address, cores=count_cores().usable)
    try:
        yield own
    finally:
        own.close()


def _check(spec: RunSpec, uri: str, given: Engine | None) -> None:
    """What can be refused before anything starts."""
    check_network(spec.model, spec.data.size)
    strategy = spec.strategy_kind
    with _engine(spec, given) as engine:
        known = engine.capabilities.strategies
        if strategy not in known:
            can = ", ".join(sorted(known))
            raise SpecError(f"engine {engine.name!r} cannot run strategy {strategy!r}; it can run: {can}.")
        if engine.capabilities.places and spec.device == "cuda" and not spec.engine.gpus:
            raise UsageError(
                f"engine {engine.name!r} gives a worker the GPUs that it counts (got device=cuda and engine.gpus=0); "
                "say how many each takes: --set engine.gpus=1, or 0.5 where two share one."
            )
        if uri.startswith("memory:") and engine.capabilities.processes:
            raise UsageError(
                f"engine {engine.name!r} has processes, which cannot reach {uri}; name a folder in --runs."
            )


def _settled(spec: RunSpec, records: RecordSet, donor: Donor | None, observer: Observer) -> RunSpec:
    """What the run keeps, now that its records are there; SourceError or SpecError where they cannot be trained on."""
    shape_HWC, classes = shape_of(records, spec.data.size), records.classes
    problem = Problem(shape_HWC, len(classes), None if donor is None else donor.tensors)
    _check_records(records, spec)
    check_head(spec, donor, classes)
    if spec.model == KNN:
        check_neighbours(spec, records)
        return spec
    first_network(spec, problem)
    spec = settle_precision(spec, problem, observer)
    warn_of_slow_precision(spec, observer)
    return spec


def _check_records(records: RecordSet, spec: RunSpec) -> None:
    train = positions_of(records, Split.TRAIN, spec.data.validation)
    present = len(np.unique(records.labels[train]))
    if present < 2:
        raise SourceError(
            f"training needs samples of at least two classes (got {len(train)} samples of {present}) in the train part "
            f"of {spec.data.source}."
        )
    shape = shape_of(records, spec.data.size)
    spec.augment.check(*shape)
    if spec.data.input == "drawing" and shape[2] != 1:
        raise SourceError(
            f"data.input=drawing means grey images (got {shape[2]} channels in {spec.data.source}); "
            "say --set data.input=picture, or write them grey: pileus data write SOURCE DEST --channels 1"
        )
    by_validation = "early_stop" if spec.early_stop else "checkpoints.keep_best" if spec.checkpoints.keep_best else ""
    if by_validation and not len(positions_of(records, Split.VALIDATION, spec.data.validation)):
        raise SourceError(
            f"{by_validation} goes by the validation loss (got no validation sample in {spec.data.source}); "
            "hold some back: --set data.validation=0.1"
        )


def _changed(spec: RunSpec, changes: dict[str, Any]) -> RunSpec:
    """Checked as a whole, which `msgspec.structs.replace` alone does not do."""
    return resolve(msgspec.to_builtins(msgspec.structs.replace(spec, **changes)))


def _new_run(runs_uri: str, name: str | None, recipe: str) -> tuple[RunDirectory, str]:
    """Where the run will lie, and its name. UsageError for a name that is none, or taken."""
    now = datetime.datetime.now(datetime.UTC)
    if name is None:
        name = f"{recipe}-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
    if not name or name.startswith(".") or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise UsageError(f"a run's name is letters, digits, '-', '_' and '.' (got {name!r}); choose another --name.")
    directory = RunDirectory(open_store(f"{runs_uri}/{name}"))
    directory.refuse_taken()
    return directory, name
