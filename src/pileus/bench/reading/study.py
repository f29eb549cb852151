"""A study of reading from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from pileus.bench.course import all_tried, under_way
from pileus.bench.folder import WORK, Watch, environment_of
from pileus.bench.portion import known
from pileus.bench.process import run_process, told
from pileus.bench.reading.analysis import Analysis, Measured, analyse
from pileus.bench.reading.ceilings import SetName, Sets, measure_ceilings
from pileus.bench.reading.design import Trial, all_trials, expected_s
from pileus.bench.reading.opening import WrittenSet
from pileus.bench.reading.report import StudyContent, write_record
from pileus.bench.reading.request import Request, command_of, usual_for
from pileus.bench.reading.results import Done, Results
from pileus.bench.reading.sets import copy_set, delete_set, write_set
from pileus.bench.reading.trial import Outcome, Task
from pileus.data.ports import Source
from pileus.spec.values import Spec

_RESULTS = "results.csv"


class Plan(Spec, frozen=True, kw_only=True):
    """trials.json: what was asked, of which images, and every trial in its order."""

    request: Request
    fingerprint: str
    """Of the source, as far as it is known without reading it."""
    trials: tuple[Trial, ...]


class Study(NamedTuple):
    """A finished one."""

    out: Path
    analysis: Analysis


def run_study(request: Request, source: Source, out: Path, watch: Watch) -> Study:
    """Go on with the study in `out`, or begin it there. A trial that fails is a row that says why.

    `source` is what `request.source` names. UsageError where `out` holds something else; Interrupted by Ctrl-C and
    SIGTERM, after which `out` has the rows of the trials that were done.
    """
    trials = all_trials(request.factors)
    plan = Plan(request=request.told(), fingerprint=known(source), trials=tuple(trials))
    results = Results(out / _RESULTS)
    with under_way(plan, trials, results, out, command_of(request, str(out))):
        return _run(_Run(request, out, results, trials, watch), source)


class _Run(NamedTuple):
    request: Request
    out: Path
    results: Results
    trials: list[Trial]
    watch: Watch


def _run(run: _Run, source: Source) -> Study:
    factors = run.request.factors
    sets = _written(run, source)
    run.watch.say("measuring what store, decoder and hand-over can do alone")
    ceilings = measure_ceilings(factors, sets)
    done = all_tried(
        "reading",
        run.trials,
        run.results,
        run.watch,
        expected_s=lambda waiting: expected_s(factors, waiting, usual_for(source).image_s),
        tried=lambda trial, _: _tried(run, trial, sets[SetName(trial.cell.pixels, trial.cell.store.remote)]),
    )
    analysis = analyse(factors, done, ceilings)
    measured = [Measured(each.trial.cell, each.outcome) for each in done if each.outcome is not None]
    content = StudyContent(
        request=run.request.told(),
        analysis=analysis,
        measured=measured,
        failed=[each for each in done if each.outcome is None],
        read_size=sets[SetName(0, False)].size if 0 in factors.pixels else None,
        environment=environment_of(run.out),
    )
    write_record(run.out, content)
    _clear(run)
    return Study(run.out, analysis)


def _written(run: _Run, source: Source) -> Sets:
    """Every set that the design needs. Those of this machine are needed also to fill the others."""
    factors, work = run.request.factors, run.out / WORK
    sets: dict[SetName, WrittenSet] = {}
    for pixels in factors.pixels:
        with run.watch.progress(f"writing {pixels or 'original'} pixels", "images") as progress:
            sets[SetName(pixels, False)] = write_set(source, factors, pixels, work / "sets" / str(pixels), progress)
    if any(place.remote for place in factors.store):
        for pixels in factors.pixels:
            with run.watch.progress(f"copying {pixels or 'original'} pixels", "values") as progress:
                here = sets[SetName(pixels, False)]
                sets[SetName(pixels, True)] = copy_set(here, _remote_set(run, pixels), progress)
    return sets


def _remote_set(run: _Run, pixels: int) -> str:
    """A place of the study's own below what the user named."""
    assert run.request.remote is not None
    name = f"pileus-bench-{run.out.resolve().name}"
    return f"{run.request.remote.rstrip('/')}/{name}/{pixels}"


def _tried(run: _Run, trial: Trial, written: WrittenSet) -> Done:
    caches = run.out / WORK / "caches" / f"{trial.cell.store.name}-{trial.cell.pixels}"
    caches.mkdir(parents=True, exist_ok=True)
    task = Task(
        cell=trial.cell,
        written=written,
        cache_folder=str(caches.resolve()),
        seed=run.request.factors.seed + trial.repetition,
        spawned_at=time.monotonic(),
    )
    outcome = run_trial(task, run.request.deadline_s)
    for cold in caches.glob("cold-*"):
        shutil.rmtree(cold)
    if isinstance(outcome, Outcome):
        return Done(trial=trial, outcome=outcome)
    return Done(trial=trial, outcome=None, error=told(outcome, run.out))


def run_trial(task: Task, deadline_s: float) -> Outcome | str:
    """Text where it failed."""
    return run_process("pileus.bench.reading.trial", task, Outcome, deadline_s)


def _clear(run: _Run) -> None:
    for pixels in run.request.factors.pixels:
        if any(place.remote for place in run.request.factors.store):
            delete_set(_remote_set(run, pixels))
    shutil.rmtree(run.out / WORK)
