"""The trials that are done, a line of JSON each: results.jsonl, which is whole at every moment.

A line is written when its trial ends. What a killed study left of a line is thrown away, and its trial is run again.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from pileus.errors import UsageError

_MOST_BYTES = 64 << 20


class Ended(Protocol):
    """A trial that has ended: a Spec of a study."""

    @property
    def trial(self) -> object: ...


Line = TypeVar("Line", bound=Ended)


class Results(Generic[Line]):
    """The file of one study, whose lines are of `kind`."""

    def __init__(self, path: Path, kind: type[Line]) -> None:
        self._path, self._kind = path, kind

    def load(self, trials: Collection[object]) -> list[Line]:
        """Those of these trials that were done before. UsageError where the file is of another study."""
        if not self._path.exists():
            return []
        if self._path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{self._path} is no list of trials: it has more than {_MOST_BYTES >> 20} MiB; remove it.")
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            done = [msgspec.json.decode(line, type=self._kind) for line in whole.splitlines()]
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UsageError(f"{self._path} is not of this study ({error}); choose another --out.") from error
        if any(each.trial not in trials for each in done):
            raise UsageError(f"{self._path} is not of this study (it has other trials); choose another --out.")
        if whole != content:
            self._path.write_bytes(whole)
        return done

    def add(self, done: Line) -> None:
        """Written and synced."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(done) + b"\n")
            file.flush()
            os.fsync(file.fileno())
