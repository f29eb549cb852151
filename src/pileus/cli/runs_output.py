"""How runs are shown to a person; shared by the commands that make or name them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from pileus.cli.console import Console
from pileus.operations.compare import Both, Difference
from pileus.store import plain_place

if TYPE_CHECKING:
    from pileus.operations.train import TrainResult

_PERCENT = frozenset({"accuracy", "validation_accuracy"})


class BarObserver:
    """Lines to stderr, progress to a bar."""

    def __init__(self, console: Console, report: Callable[[int, int], None]) -> None:
        self._console = console
        self._report = report

    def say(self, text: str) -> None:
        self._console.say(text)

    def progress(self, done: int, total: int) -> None:
        self._report(done, total)


def human_result(result: TrainResult) -> str:
    accuracy = "no test part" if result.accuracy is None else f"{result.accuracy:.2%} on the test part"
    workers = f"{counted(result.workers, 'worker')}, {result.engine}, {result.strategy}"
    trained = f"{result.samples_seen:,} images, {counted(result.epochs, 'epoch')}, {result.train_s:.1f} s"
    run = shlex.quote(plain_place(result.uri))
    return "\n".join(
        [
            f"run          {result.run}",
            f"accuracy     {accuracy}",
            f"trained      {trained} ({workers})",
            f"fingerprint  {result.fingerprint[:16]}",
            f"bundle       {plain_place(result.bundle)}",
            f"report       {plain_place(result.report)}",
            "",
            f"next: pileus serve {run}",
        ]
    )


def counted(number: int, what: str) -> str:
    """'1 worker', '2 workers'."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def told_difference(difference: Difference) -> Group:
    """A table of the two runs side by side, and in words where their weights part ways."""
    table = Table("", *(Column(Text(run)) for run in difference.runs), box=None)
    _add_rows(table, "settings", difference.settings)
    _add_rows(table, "begun on", difference.environment)
    _add_rows(table, "outcome", difference.outcome)
    words = [] if difference.settings else ["the settings are the same"]
    words.append("the data are the same" if difference.same_data else "the data differ")
    words += [_told_steps(difference), _told_epochs(difference)]
    return Group(table, "", *(Text(line) for line in words))


def _add_rows(table: Table, title: str, rows: Mapping[str, Both]) -> None:
    if rows:
        table.add_row(Text(title, "bold"))
    for name, both in rows.items():
        table.add_row(Text(f"  {name}"), *(Text(_told_value(name, value)) for value in both))


def _told_value(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name in _PERCENT:
        return f"{value:.2%}"
    if name == "fingerprint":
        return str(value)[:16]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _told_steps(difference: Difference) -> str:
    if not difference.steps_compared:
        return "no step was marked by both runs: a strategy marks its weights where all workers agree after each step"
    parting = difference.first_step
    if parting is None:
        return f"the weights agree bit for bit after each of the {difference.steps_compared:,} steps that both marked"
    told = f"the weights differ first after step {parting.step + 1:,} (epoch {parting.epoch + 1})"
    if parting.steps_unmarked:
        told += f", or within the {counted(parting.steps_unmarked, 'step')} before it, which not both marked"
    return told


def _told_epochs(difference: Difference) -> str:
    if difference.first_epoch is None:
        return f"the weights agree bit for bit after each of {counted(difference.epochs_compared, 'epoch')}"
    return f"the weights differ from epoch {difference.first_epoch + 1} on"
