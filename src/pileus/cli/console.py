"""Where a command speaks: results to stdout, everything else to stderr.

One rule for all commands: with `--json`, stdout holds one JSON document and nothing else; a bar is drawn only
where a person watches (stderr is a terminal) and never with `--quiet`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console as Terminal
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from pileus.spec.values import canonical_json


class Report(Protocol):
    """Told how far the work is; from any thread."""

    def __call__(self, done: int, total: int, size_bytes: int = 0, /) -> None:
        """`size_bytes`: what was moved for what is done, where that is of interest."""
        ...


class Console:
    """The streams of one command. Colours follow the terminal and `NO_COLOR`."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._out = Terminal(file=sys.stdout, highlight=False)
        self._error = Terminal(file=sys.stderr, highlight=False, stderr=True)

    def result(self, document: object, human: RenderableType) -> None:
        """What the command was run for: `document` as JSON with `--json`, else `human`."""
        if self.json:
            self._out.out(canonical_json(document).decode(), end="")
        elif isinstance(human, str):
            self._out.print(human, markup=False, soft_wrap=True)
        else:
            self._out.print(human)

    def say(self, text: str) -> None:
        """One line for the person who waits. Where it cannot be written, the work goes on all the same."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """An error's message: said even with `--quiet`."""
        with contextlib.suppress(OSError):
            self._error.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Report]:
        """A bar with rate and time left while the block runs; yields the function to report to."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, total, size_bytes=0: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            _Amount(unit),
            _Rate(unit),
            _Bandwidth(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self._error) as bars:
            task = bars.add_task(title, total=None, size_bytes=0)
            yield lambda done, total, size_bytes=0: bars.update(
                task, completed=done, total=total, size_bytes=size_bytes
            )


class _Amount(ProgressColumn):
    def __init__(self, unit: str) -> None:
        self.unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} {self.unit}", style="progress.download")


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        self.unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        shown = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
        return Text(f"{shown} {self.unit}/s", style="progress.data.speed")


class _Bandwidth(ProgressColumn):
    """Of the bytes moved so far, at the speed of now; nothing where none are told."""

    def render(self, task: Task) -> Text:
        speed, size_bytes = task.finished_speed or task.speed, task.fields["size_bytes"]
        if speed is None or not size_bytes or not task.completed:
            return Text("")
        return Text(f"{speed * size_bytes / task.completed / 1e6:,.1f} MB/s", style="progress.data.speed")
