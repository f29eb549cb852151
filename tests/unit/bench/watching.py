"""Who watches a study in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pileus.bench.folder import Tell


class Silent:
    """Who watches, and says how far the trials are."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Tell]:
        yield lambda done, total: self.done.append(done) if unit == "trials" else None
