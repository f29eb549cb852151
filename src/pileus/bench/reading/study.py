"""A study of reading from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from pileus.bench.reading.analysis import Analysis, Measured, analyse
from pileus.bench.reading.ceilings import SetName, Sets, measure_ceilings
from pileus.bench.reading.design import Trial, all_trials, expected_s
from pileus.bench.reading.opening import WrittenSet
from pileus.bench.reading.report import StudyContent, write_record
from pileus.bench.reading.request import Request, command_of, usual_for
from pileus.bench.reading.results import Done, Results
from pileus.bench.reading.sets import copy_set, delete_set, known, write_set
from pileus.bench.reading.trial import Outcome, Task
from pileus.data.ports import Source
from pileus.errors import Interrupted, UsageError
from pileus.measure.environment import describe_environment
from pileus.operations.signals import stop_requests
from pileus.spec.values import Spec, canonical_json

_WORK = ".work"
"""In the folder of the study until it is done: sets and caches."""
_TRIALS, _RESULTS, _ENVIRONMENT, _FIGURES = "trials.json", "results.csv", "environment.json", "figures.json"
_TRIAL = (sys.executable, "-m", "pileus.bench.reading.trial")
_MOST_ERROR_CHARS = 300


class Tell(Protocol):
    def __call__(self, done: int, total: int, /) -> None: ...


class Watch(Protocol):
    """Who waits for the study."""

    def say(self, text: str, /) -> None: ...

    def progress(self, title: str, unit: str, /) -> AbstractContextManager[Tell]: ...


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
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out / _RESULTS)
    with _alone_in(out), stop_requests() as stopped:
        _begin(plan, out)
        try:
            with stopped.at_once():
                study = _run(_Run(request, out, results, trials, watch), source)
        except KeyboardInterrupt as error:
            done = len(results.load(trials))
            raise Interrupted(
                f"{stopped.reason or 'Ctrl-C'}: stopped after {done} of {len(trials)} trials, which are kept; go on:\n"
                f"{command_of(request, str(out))}"
            ) from error
    return study


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
    done = run.results.load(run.trials)
    ended = {each.trial.number for each in done}
    waiting = [trial for trial in run.trials if trial.number not in ended]
    about_s = expected_s(factors, waiting, usual_for(source).image_s)
    run.watch.say(f"{len(waiting)} trials, about {_duration(about_s)}{_before(len(done))}")
    with run.watch.progress("reading", "trials") as progress:
        progress(len(done), len(run.trials))
        for trial in waiting:
            done.append(_tried(run, trial, sets[SetName(trial.cell.pixels, trial.cell.store.remote)]))
            run.results.add(done[-1])
            progress(len(done), len(run.trials))
    analysis = analyse(factors, done, ceilings)
    measured = [Measured(each.trial.cell, each.outcome) for each in done if each.outcome is not None]
    content = StudyContent(
        request=run.request.told(),
        analysis=analysis,
        measured=measured,
        failed=[each for each in done if each.outcome is None],
        read_size=sets[SetName(0, False)].size if 0 in factors.pixels else None,
        environment=msgspec.json.decode((run.out / _ENVIRONMENT).read_bytes(), type=dict),
    )
    write_record(run.out, content)
    _clear(run)
    return Study(run.out, analysis)


def _begin(plan: Plan, out: Path) -> None:
    """The design and the machine, where they are not there yet. UsageError where the folder is not this study's."""
    path = out / _TRIALS
    if path.exists():
        if path.read_bytes() != canonical_json(plan):
            raise UsageError(f"{out} holds another study, or one of other images; choose another --out.")
        if (out / _FIGURES).exists():
            raise UsageError(f"{out} holds this study already, finished: {out / 'report.html'}; choose another --out.")
        return
    present = sorted(child.name for child in out.iterdir())
    if present:
        raise UsageError(f"--out must be new or empty, or a study to go on with ({out} holds {present[0]!r}).")
    (out / _ENVIRONMENT).write_bytes(canonical_json(describe_environment()))
    path.write_bytes(canonical_json(plan))


def _written(run: _Run, source: Source) -> Sets:
    """Every set that the design needs. Those of this machine are needed also to fill the others."""
    factors, work = run.request.factors, run.out / _WORK
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
    caches = run.out / _WORK / "caches" / f"{trial.cell.store.name}-{trial.cell.pixels}"
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
    told = " ".join(outcome.replace(str(run.out.resolve()), "OUT").split())
    return Done(trial=trial, outcome=None, error=told[:_MOST_ERROR_CHARS])


def run_trial(task: Task, deadline_s: float) -> Outcome | str:
    """In a process and session of its own, so that Ctrl-C reaches this one alone. Text where it failed."""
    try:
        ended = subprocess.run(
            _TRIAL,
            input=msgspec.json.encode(task),
            capture_output=True,
            timeout=deadline_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than its deadline of {deadline_s:g} s"
    try:
        return msgspec.json.decode(ended.stdout, type=Outcome)
    except msgspec.DecodeError:
        return _failure(ended)


def _failure(ended: subprocess.CompletedProcess[bytes]) -> str:
    try:
        return msgspec.json.decode(ended.stdout, type=dict[str, str])["error"]
    except (msgspec.DecodeError, KeyError):
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"its process ended with {ended.returncode}: {last or 'without a word'}"


def _clear(run: _Run) -> None:
    for pixels in run.request.factors.pixels:
        if any(place.remote for place in run.request.factors.store):
            delete_set(_remote_set(run, pixels))
    shutil.rmtree(run.out / _WORK)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """UsageError where another process is at work there: two studies at once would measure one another."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"another process runs a study in {out}; wait for it or choose another --out.") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _before(done: int) -> str:
    return f"; {done} were done before" if done else ""
