"""The course of a study: begin it in its folder or go on there, try what is left, keep each trial as it ends."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pileus.bench.folder import WORK, Watch, alone_in, begin, duration
from pileus.bench.results import Ended, Results
from pileus.errors import Interrupted
from pileus.operations.signals import stop_requests
from pileus.spec.values import Spec

_RESULTS = "results.jsonl"

Trial = TypeVar("Trial", bound=Spec)
Line = TypeVar("Line", bound=Ended)


class Kept(Protocol[Line]):
    """What has ended, in its file."""

    def load(self, trials: Any, /) -> list[Line]:
        """Of these trials."""
        ...

    def add(self, done: Line, /) -> None: ...


class Study(Protocol[Trial, Line]):
    """What is studied: trials of one kind, of which each becomes a line."""

    @property
    def title(self) -> str:
        """Of the bar."""
        ...

    @property
    def kind(self) -> type[Line]: ...

    @property
    def plan(self) -> Spec:
        """Written first; another plan is another study."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """In the order in which they are tried."""
        ...

    @property
    def trial_s(self) -> float:
        """About how long one takes, for the forecast alone."""
        ...

    def command(self, out: str) -> str:
        """The whole command."""
        ...

    def prepare(self) -> None:
        """Write below the folder's WORK what the trials need and is not there yet."""
        ...

    def tried(self, trial: Trial) -> Line:
        """A trial that fails is a line that says why."""
        ...

    def told(self, line: Line) -> str:
        """For the person who waits."""
        ...

    def finish(self, done: Sequence[Line]) -> None:
        """Write the record; its figures last."""
        ...


def conduct(study: Study[Trial, Line], out: Path, watch: Watch) -> None:
    """Go on with the study in `out`, or begin it there.

    UsageError where `out` holds something else; Interrupted by Ctrl-C and SIGTERM, after which `out` has the lines of
    the trials that were done.
    """
    results: Results[Line] = Results(out / _RESULTS, study.kind)
    with under_way(study.plan, study.trials, results, out, study.command(str(out))):
        _go_on(study, out, results, watch)


@contextlib.contextmanager
def under_way(plan: Spec, trials: Collection[Spec], results: Kept[Line], out: Path, command: str) -> Iterator[None]:
    """The folder is this process's own meanwhile. `command`: by which a stopped study goes on. Errors: as `conduct`."""
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out), stop_requests() as stopped:
        begin(plan, out)
        try:
            with stopped.at_once():
                yield
        except KeyboardInterrupt as error:
            done = len(results.load(trials))
            raise Interrupted(
                f"{stopped.reason or 'Ctrl-C'}: stopped after {done} of {len(trials)} trials, which are kept; "
                f"go on:\n{command}"
            ) from error


def _go_on(study: Study[Trial, Line], out: Path, results: Results[Line], watch: Watch) -> None:
    study.prepare()
    done = all_tried(
        study.title,
        study.trials,
        results,
        watch,
        expected_s=lambda waiting: study.trial_s * len(waiting),
        tried=lambda trial, _: study.tried(trial),
        told=study.told,
    )
    study.finish(done)
    shutil.rmtree(out / WORK, ignore_errors=True)


def all_tried(
    title: str,
    trials: Sequence[Trial],
    results: Kept[Line],
    watch: Watch,
    *,
    expected_s: Callable[[list[Trial]], float],
    tried: Callable[[Trial, Sequence[Line]], Line],
    told: Callable[[Line], str] | None = None,
) -> list[Line]:
    """The lines of all trials: those that were done before, then of the rest in turn, each kept as it ends.

    `expected_s`: of those that are left. `tried` is given a trial and the lines until then; `told` is for the person
    who waits.
    """
    done = results.load(trials)
    ended = {each.trial for each in done}
    waiting = [trial for trial in trials if trial not in ended]
    before = f"; {len(done)} were done before" if done else ""
    watch.say(f"{len(waiting)} trials, about {duration(expected_s(waiting))}{before}")
    with watch.progress(title, "trials") as progress:
        progress(len(done), len(trials))
        for trial in waiting:
            done.append(tried(trial, done))
            results.add(done[-1])
            if told is not None:
                watch.say(told(done[-1]))
            progress(len(done), len(trials))
    return done
