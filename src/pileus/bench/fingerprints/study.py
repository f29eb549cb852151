"""A study of fingerprints from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pileus.bench.course import conduct
from pileus.bench.fingerprints.design import MOVED_TO, TRIAL_S, Request, Trial, all_trials
from pileus.bench.fingerprints.report import write_record
from pileus.bench.fingerprints.table import Done, Figures, figures_of
from pileus.bench.fingerprints.trial import Outcome, Task
from pileus.bench.folder import WORK, Watch, environment_of
from pileus.bench.portion import reading
from pileus.bench.process import run_process, told
from pileus.bench.reachable import LeftOut, sorted_out
from pileus.data.sources.open import open_source
from pileus.errors import SpecError
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.spec.resolve import split_engine
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec


class Plan(Spec, frozen=True, kw_only=True):
    """trials.json."""

    request: Request
    spec: RunSpec
    trials: tuple[Trial, ...]
    left_out: tuple[LeftOut, ...]


class Study(NamedTuple):
    """A finished one."""

    out: Path
    figures: Figures


class Design(NamedTuple):
    engines: list[str]
    left_out: list[LeftOut]
    trials: list[Trial]


def design_of(request: Request) -> Design:
    """SpecError where the recipe or a setting is impossible; MissingExtra or MissingService where no engine is here."""
    most, microbatches = max(*request.workers, MOVED_TO), request.spec().num_microbatches
    if most > microbatches:
        raise SpecError(
            f"workers must be in [1, microbatches], and a moved run has {MOVED_TO} (got workers={most}, "
            f"microbatches={microbatches}); lower --workers or --set microbatch_size=N."
        )
    engines, left_out = sorted_out(request.engines)
    return Design(engines, left_out, all_trials(request, engines))


def run_study(request: Request, out: Path, watch: Watch) -> Study:
    """As `conduct`. A training that fails is a line that says why."""
    course = _Course(request, design_of(request), out, watch)
    for each in course.design.left_out:
        watch.say(f"left out: {each.engine}: {each.reason}")
    conduct(course, out, watch)
    assert course.figures is not None
    return Study(out, course.figures)


class _Course:
    title = "trainings"
    kind = Done
    trial_s = TRIAL_S

    def __init__(self, request: Request, design: Design, out: Path, watch: Watch) -> None:
        self._request, self.design, self._out, self._watch = request, design, out, watch
        self._addresses = {split_engine(each)[0]: split_engine(each)[1] for each in design.engines}
        self.trials = design.trials
        self.plan = Plan(
            request=request.told(),
            spec=request.spec() if not request.source else reading(request.spec(), request.told().source),
            trials=tuple(design.trials),
            left_out=tuple(design.left_out),
        )
        self.figures: Figures | None = None

    def command(self, out: str) -> str:
        return self._request.command(out)

    @property
    def _records(self) -> Path:
        return (self._out / WORK / "records").resolve()

    def prepare(self) -> None:
        """Once for all trainings, whose records are the same."""
        source = self._request.spec().data.source
        with self._watch.progress("writing images", "images") as progress:
            write_source(
                open_source(source),
                str(self._records),
                workers=count_cores().usable,
                progress=lambda done, total, _: progress(done, total),
            )

    def tried(self, trial: Trial) -> Done:
        runs = self._out / WORK / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        task = Task(trial=trial, spec=self._spec(trial), then=self._named(trial.then), folder=str(runs.resolve()))
        found = run_trial(task, self._request.deadline_s)
        shutil.rmtree(runs, ignore_errors=True)
        if isinstance(found, Outcome):
            return Done(trial=trial, outcome=found)
        return Done(trial=trial, outcome=None, error=told(found, self._out))

    def told(self, line: Done) -> str:
        return f"{line.trial.label}: " + (line.outcome.fingerprint if line.outcome else f"failed: {line.error}")

    def finish(self, done: Sequence[Done]) -> None:
        self.figures = figures_of(self._request, done, self.design.left_out)
        write_record(self._out, self.figures, done, environment_of(self._out))

    def _spec(self, trial: Trial) -> RunSpec:
        spec = reading(self._request.spec(), str(self._records))
        engine = msgspec.structs.replace(spec.engine, name=trial.engine, address=self._addresses[trial.engine])
        return msgspec.structs.replace(spec, engine=engine, workers=trial.workers)

    def _named(self, engine: str) -> str:
        address = self._addresses.get(engine)
        return engine if address is None else f"{engine}@{address}"


def run_trial(task: Task, deadline_s: float) -> Outcome | str:
    """Text where it failed."""
    return run_process("pileus.bench.fingerprints.trial", task, Outcome, deadline_s)
