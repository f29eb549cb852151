"""A study of serving from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pileus.bench.course import all_tried, under_way
from pileus.bench.folder import WORK, Watch, environment_of
from pileus.bench.process import told
from pileus.bench.results import Results
from pileus.bench.serving.analysis import analyse
from pileus.bench.serving.bodies import Bodies, Kind, bodies_of
from pileus.bench.serving.design import Request, Saturation, Trial, all_trials, load_of
from pileus.bench.serving.report import StudyContent, write_record
from pileus.bench.serving.trial import Done, Setting, run_trial
from pileus.bundles import load
from pileus.data.sources.open import open_source
from pileus.errors import NotFound, WorkFailed
from pileus.operations.demo import train_demo
from pileus.operations.observer import Silent
from pileus.spec.values import Spec
from pileus.store import open_store

_RESULTS = "results.jsonl"
_BUNDLE = "bundle"
"""In the folder of work: where the bundle lies that was trained for the study."""


class Plan(Spec, frozen=True, kw_only=True):
    """trials.json: what was asked, of which model, and every trial in its order."""

    request: Request
    version: str | None
    """Of the bundle; None of one that the study trains."""
    trials: tuple[Trial, ...]


class Study(NamedTuple):
    """A finished one."""

    out: Path
    content: StudyContent


class _Run(NamedTuple):
    request: Request
    trials: list[Trial]
    out: Path
    results: Results[Done]
    watch: Watch


def run_study(request: Request, out: Path, watch: Watch) -> Study:
    """Go on with the study in `out`, or begin it there. A trial that fails is a line that says why.

    UsageError where there is no such bundle or `out` holds something else; Interrupted by Ctrl-C and SIGTERM, after
    which `out` has the lines of the trials that were done.
    """
    trials = all_trials(request)
    version = load(request.bundle).manifest.version if request.bundle else None
    run = _Run(request, trials, out, Results(out / _RESULTS, Done), watch)
    plan = Plan(request=request.told(), version=version, trials=tuple(trials))
    with under_way(plan, trials, run.results, out, request.command(str(out))):
        return _run(run)


def _run(run: _Run) -> Study:
    request = run.request
    place = request.bundle or _trained(run)
    bundle = load(place)
    source = open_source(request.data) if request.data else None
    bodies = {kind: bodies_of(kind, bundle, source) for kind in request.bodies}
    done = all_tried(
        "serving",
        run.trials,
        run.results,
        run.watch,
        expected_s=lambda waiting: request.expected_s * len(waiting) / len(run.trials),
        tried=lambda trial, before: _tried(run, trial, place, bodies, before),
        told=_line,
    )
    content = StudyContent(
        request=request.told(),
        model=f"{bundle.name} {bundle.version}",
        analysis=analyse(request, done),
        done=done,
        environment=environment_of(run.out),
    )
    write_record(run.out, content)
    shutil.rmtree(run.out / WORK, ignore_errors=True)
    return Study(run.out, content)


def _trained(run: _Run) -> str:
    """A bundle of the study's own; the same one where the study goes on."""
    store = open_store(run.out / WORK)
    try:
        return store.get(_BUNDLE).content.decode()
    except NotFound:
        run.watch.say("training a small model of the embedded drawings first")
        place = train_demo(str((run.out / WORK / "runs").resolve()), Silent()).bundle
        store.put(_BUNDLE, place.encode())
        return place


def _tried(run: _Run, trial: Trial, place: str, bodies: dict[Kind, Bodies], done: Sequence[Done]) -> Done:
    cell, request = trial.cell, run.request
    saturation = 0.0
    if not isinstance(cell.level, Saturation):
        saturation = _saturation(cell.body, done)
        if not saturation:
            return Done(trial=trial, outcome=None, error=f"the saturation of {cell.body} was not found")
    setting = Setting(
        place=place,
        options=() if request.processes is None else ("--processes", str(request.processes)),
        bodies=bodies[cell.body],
        cell=cell,
        load=load_of(cell.level, saturation),
        seconds=request.seconds,
        seed=trial.number,
    )
    try:
        return Done(trial=trial, outcome=run_trial(setting))
    except WorkFailed as error:
        return Done(trial=trial, outcome=None, error=told(str(error), run.out))


def _saturation(body: Kind, done: Sequence[Done]) -> float:
    """Good answers a second of its first trial; 0 where that failed."""
    for each in done:
        if each.trial.cell.body == body and isinstance(each.trial.cell.level, Saturation) and each.outcome is not None:
            return each.outcome.sent.goodput
    return 0.0


def _line(done: Done) -> str:
    cell = done.trial.cell
    if done.outcome is None:
        return f"round {done.trial.round + 1}: {cell.label}: failed: {done.error}"
    sent = done.outcome.sent
    p99 = "" if sent.latency is None else f", p99 {sent.latency.p99_ms:.1f} ms"
    return f"round {done.trial.round + 1}: {cell.label}: {sent.goodput:,.0f} good answers/s{p99}"
