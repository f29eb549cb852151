"""How runs are shown to a person; shared by the commands that make or name them."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from pileus.cli.console import Console
from pileus.operations.train import TrainResult
from pileus.store import plain_place


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
