"""A study of engines from beginning to end, in a folder that a stopped one is continued in."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pileus.bench.course import conduct
from pileus.bench.engines.analysis import Done, analyse
from pileus.bench.engines.design import (
    FILES,
    TRIAL_S,
    Cell,
    Design,
    Request,
    Skipped,
    Trial,
    data_name,
    design_of,
    store_name,
)
from pileus.bench.engines.report import StudyContent, write_record
from pileus.bench.engines.trial import Outcome, Task
from pileus.bench.folder import WORK, Watch, environment_of
from pileus.bench.portion import known, portion_of, reading
from pileus.bench.process import run_process, told
from pileus.bench.reachable import LeftOut
from pileus.bench.reading.sets import delete_set
from pileus.data.ports import Source
from pileus.data.sources.open import open_source
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec, canonical_json, digest


class Plan(Spec, frozen=True, kw_only=True):
    """trials.json: what was asked, of which images, and every trial in its order."""

    request: Request
    fingerprints: dict[str, str]
    """Of the sources, as far as they are known without reading them."""
    trials: tuple[Trial, ...]
    skipped: tuple[Skipped, ...]
    left_out: tuple[LeftOut, ...]
    specs: dict[str, RunSpec]
    """By the cell's label; the data's source is the set that the study wrote."""


class Study(NamedTuple):
    """A finished one."""

    out: Path
    content: StudyContent


def open_sources(request: Request) -> dict[str, Source]:
    """By what the request calls them, as many images of each as it asks for."""
    return {name: portion_of(open_source(name), request.images) for name in request.data}


def run_study(request: Request, out: Path, watch: Watch) -> Study:
    """As `conduct`. A trial that fails is a line that says why."""
    sources = open_sources(request)
    course = _Course(request, sources, out, watch)
    for each in course.design.left_out:
        watch.say(f"left out: {each.engine}: {each.reason}")
    for skipped in course.design.skipped:
        watch.say(f"not run: {skipped.cell.label}: {skipped.reason}")
    conduct(course, out, watch)
    assert course.content is not None
    return Study(out, course.content)


class _Course:
    title = "engines"
    kind = Done
    trial_s = TRIAL_S

    def __init__(self, request: Request, sources: Mapping[str, Source], out: Path, watch: Watch) -> None:
        self._request, self._sources, self._out, self._watch = request, sources, out, watch
        self.design: Design = design_of(request, sources)
        self.trials = self.design.trials
        self.content: StudyContent | None = None
        self.plan = Plan(
            request=request.told(),
            fingerprints={data_name(name): known(source) for name, source in sources.items()},
            trials=tuple(self.design.trials),
            skipped=tuple(self.design.skipped),
            left_out=tuple(self.design.left_out),
            specs={cell.label: _told(spec, cell) for cell, spec in self.design.specs.items()},
        )
        word = digest(canonical_json([str(out.resolve()), self.plan]))[:12]
        self._bases = {store_name(store): self._base(store, word) for store in request.stores}

    def command(self, out: str) -> str:
        return self._request.command(out)

    def _base(self, store: str, word: str) -> str:
        """Below which records and runs lie; of another machine's store a folder of our own."""
        if store == FILES:
            return str((self._out / WORK).resolve())
        return f"{store.rstrip('/')}/pileus-bench-{word}"

    def _records(self, cell: Cell) -> str:
        return f"{self._bases[cell.store]}/records/{list(map(data_name, self._sources)).index(cell.data)}"

    def prepare(self) -> None:
        """Once for all trials, in every store."""
        for name, source in self._sources.items():
            for cell in {each.store: each for each in self.design.specs if each.data == data_name(name)}.values():
                self._write(source, cell)

    def _write(self, source: Source, cell: Cell) -> None:
        with self._watch.progress(f"writing {cell.data} to {cell.store}", "images") as progress:

            def tell(done: int, total: int, size_bytes: int) -> None:
                progress(done, total)

            write_source(source, self._records(cell), workers=count_cores().usable, progress=tell)

    def tried(self, trial: Trial) -> Done:
        cell = trial.cell
        runs = f"{self._bases[cell.store]}/runs/{trial.number}"
        spec = reading(self.design.specs[cell], self._records(cell))
        found = run_trial(Task(spec=spec, runs=runs, asked_at=time.monotonic()), self._request.deadline_s)
        if cell.store == FILES:
            shutil.rmtree(runs, ignore_errors=True)
        if isinstance(found, Outcome):
            return Done(trial=trial, outcome=found)
        return Done(trial=trial, outcome=None, error=told(found, self._out))

    def told(self, line: Done) -> str:
        head = f"{line.trial.cell.label}: "
        if line.outcome is None:
            return f"{head}failed: {line.error}"
        return (
            f"{head}{line.outcome.total_s:.1f} s, of which start-up {line.outcome.start_s:.1f} s and work "
            f"{line.outcome.work_s:.1f} s"
        )

    def finish(self, done: Sequence[Done]) -> None:
        design = self.design
        self.content = StudyContent(
            request=self._request.told(),
            specs=design.specs,
            analysis=analyse(list(design.specs), done, design.skipped, design.left_out),
            environment=environment_of(self._out),
        )
        write_record(self._out, self.content)
        for store, base in self._bases.items():
            if store != FILES:
                delete_set(base)


def run_trial(task: Task, deadline_s: float) -> Outcome | str:
    """Text where it failed."""
    return run_process("pileus.bench.engines.trial", task, Outcome, deadline_s)


def _told(spec: RunSpec, cell: Cell) -> RunSpec:
    """Without paths and hosts of this machine."""
    engine = msgspec.structs.replace(spec.engine, address=None)
    return msgspec.structs.replace(reading(spec, cell.data), engine=engine)
