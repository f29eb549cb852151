"""A study of training from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from pileus.bench.course import all_tried, under_way
from pileus.bench.folder import WORK, Watch, environment_of
from pileus.bench.portion import known, reading
from pileus.bench.process import run_process, told
from pileus.bench.reading.sets import Taken
from pileus.bench.results import Results
from pileus.bench.training.analysis import analyse
from pileus.bench.training.design import Contender, Design, Request, Skipped, Trial, design_of
from pileus.bench.training.report import StudyContent, write_record
from pileus.bench.training.results import Done
from pileus.bench.training.trial import Outcome, Task
from pileus.data.ports import Source
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

_RESULTS = "results.jsonl"


class Plan(Spec, frozen=True, kw_only=True):
    """trials.json: what was asked, of which images, and every trial in its order."""

    request: Request
    fingerprint: str
    """Of the source, as far as it is known without reading it."""
    trials: tuple[Trial, ...]
    skipped: tuple[Skipped, ...]
    specs: dict[str, RunSpec]
    """By the contender's label; the data's source is the set that the study wrote."""


class Study(NamedTuple):
    """A finished one."""

    out: Path
    content: StudyContent


class _Run(NamedTuple):
    request: Request
    design: Design
    out: Path
    results: Results[Done]
    watch: Watch


def run_study(request: Request, source: Source, out: Path, watch: Watch) -> Study:
    """Go on with the study in `out`, or begin it there. A trial that fails is a line that says why.

    `source` is what `request.source` names. UsageError where `out` holds something else; Interrupted by Ctrl-C and
    SIGTERM, after which `out` has the lines of the trials that were done.
    """
    design = design_of(request)
    run = _Run(request, design, out, Results(out / _RESULTS, Done), watch)
    with under_way(_plan(run, source), design.trials, run.results, out, request.command(str(out))):
        return _run(run, source)


def _plan(run: _Run, source: Source) -> Plan:
    request = run.request.told()
    specs = {contender.label: reading(spec, request.source) for contender, spec in run.design.specs.items()}
    return Plan(
        request=request,
        fingerprint=known(source),
        trials=tuple(run.design.trials),
        skipped=tuple(run.design.skipped),
        specs=specs,
    )


def _run(run: _Run, source: Source) -> Study:
    design, request = run.design, run.request
    sets = _written(run, source)
    for each in design.skipped:
        run.watch.say(f"not run: {each.contender.label}: {each.reason}")
    done = all_tried(
        "training",
        design.trials,
        run.results,
        run.watch,
        expected_s=lambda waiting: design.expected_s(request, len(waiting)),
        tried=lambda trial, _: _tried(run, trial, sets),
        told=_line,
    )
    content = StudyContent(
        request=request.told(),
        specs=design.specs,
        analysis=analyse(design.specs, done, design.skipped),
        done=done,
        cores=cores_of_worker(request),
        environment=environment_of(run.out),
    )
    write_record(run.out, content)
    shutil.rmtree(run.out / WORK)
    return Study(run.out, content)


def _written(run: _Run, source: Source) -> dict[int, str]:
    """A record set for each number of samples that an epoch of some contender has, by that number."""
    sets: dict[int, str] = {}
    for spec in run.design.specs.values():
        count = _num_samples(run.request, spec)
        if count not in sets:
            with run.watch.progress(f"writing {count:,} images", "images") as progress:

                def tell(done: int, total: int, size_bytes: int) -> None:
                    progress(done, total)

                folder = run.out / WORK / "records" / str(count)
                taken, workers = Taken(source=source, count=count), count_cores().usable
                sets[count] = write_source(taken, str(folder), workers=workers, progress=tell).uri
    return sets


def _tried(run: _Run, trial: Trial, sets: dict[int, str]) -> Done:
    spec = run.design.specs[trial.contender]
    uri = sets[_num_samples(run.request, spec)]
    runs = run.out / WORK / "runs"
    runs.mkdir(exist_ok=True)
    task = Task(
        spec=reading(spec, uri),
        records_uri=uri,
        folder=str(runs.resolve()),
        seconds=run.request.seconds,
        cores=cores_of_worker(run.request),
    )
    outcome = run_trial(task, run.request.deadline_s)
    shutil.rmtree(runs)
    if isinstance(outcome, Outcome):
        return Done(trial=trial, outcome=outcome)
    return Done(trial=trial, outcome=None, error=told(outcome, run.out))


def run_trial(task: Task, deadline_s: float) -> Outcome | str:
    """Text where it failed."""
    return run_process("pileus.bench.training.trial", task, Outcome, deadline_s)


def cores_of_worker(request: Request) -> int:
    """So many that the largest gang has each of its own, where there are enough; the same for every contender."""
    return max(1, count_cores().usable // max(request.workers))


def _num_samples(request: Request, spec: RunSpec) -> int:
    return request.steps * spec.batch_size


def _line(done: Done) -> str:
    contender: Contender = done.trial.contender
    if done.outcome is None:
        return f"round {done.trial.round + 1}: {contender.label}: failed: {done.error}"
    return f"round {done.trial.round + 1}: {contender.label}: {done.outcome.samples_per_s:,.0f} samples/s"
