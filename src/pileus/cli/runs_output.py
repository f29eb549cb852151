"""How runs are shown to a person; shared by the commands that make or name them."""

from __future__ import annotations

from collections.abc import Callable

from pileus.cli.console import Console
from pileus.operations.train import TrainResult


class BarObserver:
    """Lines to stderr, progress to a bar."""

    def __init__(self, console: Console, report: Callable[[int, int], None]) -> None:
        self._console = console
        self._report = report

    def say(self, text: str) -> None:
        self._console.say(text)

    def progress(self, done: int, total: int) -> None:
        self._report(done, total)


def plain(uri: str) -> str:
    """A URI as a person would type it."""
    return uri.removeprefix("file:")


def human_result(result: TrainResult) -> str:
    accuracy = "no test part" if result.accuracy is None else f"{result.accuracy:.2%} on the test part"
    workers = f"{result.workers} worker{'s' if result.workers > 1 else ''}, {result.engine}, {result.strategy}"
    run = plain(result.uri)
    return "\n".join(
        [
            f"run          {result.run}",
            f"accuracy     {accuracy}",
            f"trained      {result.samples_seen:,} images, {result.epochs} epochs, {result.train_s:.1f} s ({workers})",
            f"fingerprint  {result.fingerprint[:16]}",
            f"bundle       {plain(result.bundle)}",
            f"report       {plain(result.report)}",
            "",
            f"next: pileus serve {run}",
        ]
    )
