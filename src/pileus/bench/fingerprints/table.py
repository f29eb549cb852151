"""What the trainings came to, as a table of fingerprints and a sentence on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pileus.bench.fingerprints.design import MOVED_TO, Request, Trial
from pileus.bench.fingerprints.trial import Outcome
from pileus.bench.reachable import LeftOut
from pileus.spec.values import Spec

SHOWN = 12
"""Hexadecimal digits of a fingerprint in the table."""
LEGEND = (
    "Killed: a worker in the middle of the last epoch, by SIGKILL (a thread by an exception); the run goes on by "
    "itself. Moved: there a worker is killed and nobody starts it again; another engine takes the run up in mid-epoch, "
    f"with {MOVED_TO} workers."
)
_THREADS = "fake"


class Done(Spec, frozen=True, kw_only=True):
    """A training that has ended: a line of results.jsonl."""

    trial: Trial
    outcome: Outcome | None
    """None where it failed."""
    error: str = ""


class Figures(Spec, frozen=True, kw_only=True):
    """What was found."""

    request: Request
    fingerprint: str
    """That most trainings ended with; '' where none ended."""
    trials: int
    failed: tuple[str, ...]
    """Labels of trainings, as in `differing`."""
    differing: tuple[str, ...]
    """That ended with other weights."""
    accuracy: float | None
    """On the test part, of the weights with that fingerprint."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Engine, then a cell for each of the header."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def is_equal(self) -> bool:
        return bool(self.fingerprint) and not self.failed and not self.differing


def figures_of(request: Request, done: Sequence[Done], left_out: Sequence[LeftOut]) -> Figures:
    ended = [(each.trial, each.outcome) for each in done if each.outcome is not None]
    counted = Counter(outcome.fingerprint for _, outcome in ended)
    fingerprint = counted.most_common(1)[0][0] if counted else ""
    cells = {(each.trial.engine, column_of(each.trial)): _cell(each) for each in sorted(done, key=_number)}
    columns = [*(_workers(count) for count in request.workers), "one of 2 killed", "moved in mid-epoch"]
    engines = dict.fromkeys(engine for engine in request.told().engines if any(engine == name for name, _ in cells))
    return Figures(
        request=request.told(),
        fingerprint=fingerprint,
        trials=len(done),
        failed=tuple(each.trial.label for each in done if each.outcome is None),
        differing=tuple(trial.label for trial, outcome in ended if outcome.fingerprint != fingerprint),
        accuracy=next((outcome.accuracy for _, outcome in ended if outcome.fingerprint == fingerprint), None),
        header=("engine", *columns),
        rows=tuple((_engine(name), *(cells.get((name, column), "") for column in columns)) for name in engines),
        left_out=tuple(left_out),
    )


def column_of(trial: Trial) -> str:
    match trial.case:
        case "whole":
            return _workers(trial.workers)
        case "killed":
            return f"one of {trial.workers} killed"
        case _:
            return "moved in mid-epoch"


def sentence(figures: Figures) -> str:
    """What follows."""
    if not figures.fingerprint:
        return "No training ended."
    ended = figures.trials - len(figures.failed)
    if figures.differing:
        return (
            f"{len(figures.differing)} of {ended} trainings ended with other weights than the rest: "
            f"{'; '.join(figures.differing)}. That is a fault: please report it."
        )
    told = f"{ended} trainings ended with the same weights, bit for bit: fingerprint {figures.fingerprint}."
    if figures.failed:
        return f"{told} {len(figures.failed)} failed: {'; '.join(figures.failed)}."
    return f"All {told}" if ended > 1 else "One training ended, which is compared with none."


def markdown(figures: Figures) -> str:
    """The table alone."""
    lines = [figures.header, tuple("---" for _ in figures.header), *figures.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(done: Done) -> str:
    if done.outcome is None:
        return "failed"
    shown = f"`{done.outcome.fingerprint[:SHOWN]}`"
    return f"{shown} to {done.trial.then}" if done.trial.case == "moved" else shown


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _engine(name: str) -> str:
    return f"{name} (threads)" if name == _THREADS else name


def _number(done: Done) -> int:
    return done.trial.number
