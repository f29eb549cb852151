"""What runs there are, how each stands, and whether it holds what it says."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.bundles.load import read_verified
from pileus.data.batches import positions_of
from pileus.data.ports import Split
from pileus.errors import Damaged, NotFound, PileusError, UsageError
from pileus.records.read import open_records
from pileus.runs.directory import Plan, RunDirectory, RunEvent
from pileus.spec.values import Spec
from pileus.store import open_store, resolve_uri
from pileus.training.checkpoint import describe_checkpoint, list_checkpoints, load_checkpoint
from pileus.training.ledger import pages_back_from, prove

_ENDS = frozenset({"done", "failed", "interrupted"})


class RunLine(Spec, frozen=True, kw_only=True):
    """How a run stands. Only `run`, `uri` and `state` are told of a damaged one."""

    run: str
    uri: str
    state: str
    """done, failed, interrupted, under way (or its controller was killed), damaged."""
    epochs_done: int = 0
    epochs: int = 0
    accuracy: float | None = None
    validation_accuracy: float | None = None
    fingerprint: str = ""
    engine: str = ""
    workers: int = 0
    """Of the newest gang."""
    reason: str = ""
    """Why it ended, where it is not done: where it began, not what followed."""
    cause: str = ""
    """Of a failure: one of `pileus.spec.job.Cause`."""
    blame: str = ""
    """Who can mend it: user, platform or pileus."""
    story: tuple[str, ...] = ()
    """What befell it, a line an event; filled by `describe_run`."""


class Check(Spec, frozen=True, kw_only=True):
    """What `verify_run` looked at, and what was wrong."""

    run: str
    checkpoints: int
    epochs_proved: int
    bundle: str | None
    faults: tuple[str, ...]


def find_run(name_or_place: str, runs: str) -> RunDirectory:
    """A run by its name in `runs`, or by its own path or URI. UsageError where there is none."""
    for place in (name_or_place, f"{resolve_uri(runs)}/{name_or_place}"):
        directory = RunDirectory(open_store(place))
        try:
            directory.store.get("spec.json")
        except NotFound:
            continue
        return directory
    raise UsageError(f"there is no run {name_or_place!r}, neither by that path nor in {runs}; see `pileus runs list`.")


def list_runs(runs: str) -> list[RunLine]:
    """By name."""
    uri = resolve_uri(runs)
    names = [key.partition("/")[0] for key in open_store(uri).list() if key.split("/")[1:] == ["spec.json"]]
    return [_line(RunDirectory(open_store(f"{uri}/{name}"))) for name in names]


def describe_run(directory: RunDirectory) -> RunLine:
    story = tuple(
        " ".join([event.time[:19], event.kind, *(f"{name}={value}" for name, value in event.data.items() if value)])
        for event in directory.events()
        if event.kind != "trace"
    )
    return msgspec.structs.replace(_line(directory), story=story)


def _line(directory: RunDirectory) -> RunLine:
    name = directory.uri.rpartition("/")[2]
    try:
        plan, epochs, result = directory.plan(), directory.epochs(), directory.result(dict[str, Any])
        events = directory.events()
    except Damaged:
        return RunLine(run=name, uri=directory.uri, state="damaged")
    state = "done" if result else _standing(events)
    launched = [event.data for event in events if event.kind == "launch"]
    end = events[-1].data if state in _ENDS - {"done"} else {}
    return RunLine(
        run=plan.name,
        uri=directory.uri,
        state=state,
        epochs_done=epochs[-1].epoch + 1 if epochs else 0,
        epochs=plan.spec.epochs if plan.spec.neighbours is None else 0,
        accuracy=result["accuracy"] if result else None,
        validation_accuracy=epochs[-1].validation_accuracy if epochs else None,
        fingerprint=epochs[-1].fingerprint if epochs else "",
        engine=launched[-1]["engine"] if launched else plan.spec.engine.name,
        workers=launched[-1]["workers"] if launched else plan.spec.workers,
        reason=end.get("reason", ""),
        cause=end.get("cause", ""),
        blame=end.get("blame", ""),
    )


def _standing(events: list[RunEvent]) -> str:
    """How a run without a result stands."""
    if not events:
        return "new"
    return events[-1].kind if events[-1].kind in _ENDS else "under way"


def verify_run(directory: RunDirectory) -> Check:
    """Every checkpoint by its hashes, the ledger by its chain and the data, the bundle by its hashes."""
    plan = directory.plan()
    faults: list[str] = []
    keys = list_checkpoints(directory.store)
    for key in keys:
        try:
            load_checkpoint(directory.store, key)
        except Damaged as error:
            faults.append(str(error))
    proved = 0
    try:
        proved = _proved_epochs(directory, plan, keys, faults)
    except PileusError as error:
        faults.append(str(error))
    version = None
    if directory.result(dict[str, Any]) is not None:
        try:
            version = read_verified(directory.store)[0].short_version
        except PileusError as error:
            faults.append(str(error))
    return Check(run=plan.name, checkpoints=len(keys), epochs_proved=proved, bundle=version, faults=tuple(faults))


def _proved_epochs(directory: RunDirectory, plan: Plan, keys: list[str], faults: list[str]) -> int:
    """Whole epochs of which the ledger shows that each sample was taken exactly once; faults are added."""
    if not keys:
        return 0
    newest = describe_checkpoint(directory.store, keys[-1]).manifest
    samples = positions_of(open_records(plan.records_uri), Split.TRAIN, plan.spec.data.validation)
    wrong = prove(pages_back_from(directory.store, newest.ledger), samples, newest.position.epoch)
    faults.extend(wrong)
    return newest.position.epoch - len(wrong)
