"""The trials that are done, a row each: results.csv, which is whole at every moment.

A row is written when its trial ends. What a killed study left of a row is thrown away, and its trial is run again.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pileus.bench.reading.design import NAMES, Trial, level_name
from pileus.bench.reading.trial import Outcome
from pileus.errors import UsageError
from pileus.spec.values import Spec

_MOST_BYTES = 64 << 20
_MEASURES = tuple(field.name for field in msgspec.structs.fields(Outcome))
COLUMNS = ("trial", "repetition", *NAMES, "images_per_s", *_MEASURES, "error")


class Done(Spec, frozen=True, kw_only=True):
    """A trial that has ended."""

    trial: Trial
    outcome: Outcome | None
    """None where it failed."""
    error: str = ""


class Results:
    """The file of one study."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, trials: list[Trial]) -> list[Done]:
        """Those of these trials that were done before. UsageError where the file is of another study."""
        if not self._path.exists():
            return []
        if self._path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{self._path} is no list of trials: it has more than {_MOST_BYTES >> 20} MiB; remove it.")
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        by_number = {str(trial.number): trial for trial in trials}
        reader = csv.DictReader(io.StringIO(whole, newline=""))
        try:
            if whole and tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError("it has other columns")
            done = [_done(row, by_number[row["trial"]]) for row in reader]
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise UsageError(f"{self._path} is not of this study ({error}); choose another --out.") from error
        if whole != text:
            self._path.write_text(_table(done), encoding="utf-8")
        return done

    def add(self, done: Done) -> None:
        """Written and synced."""
        begun = self._path.exists() and self._path.stat().st_size > 0
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_table([done], header=not begun))
            file.flush()
            os.fsync(file.fileno())


def _table(rows: Iterable[Done], *, header: bool = True) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(map(_row, rows))
    return out.getvalue()


def _row(done: Done) -> dict[str, object]:
    trial, outcome = done.trial, done.outcome
    levels = {name: level_name(getattr(trial.cell, name)) for name in NAMES}
    measures = {} if outcome is None else {"images_per_s": f"{outcome.images_per_s:.6g}", **_rounded(outcome)}
    return {"trial": trial.number, "repetition": trial.repetition, **levels, **measures, "error": done.error}


def _rounded(outcome: Outcome) -> dict[str, object]:
    found = msgspec.structs.asdict(outcome)
    return {name: f"{value:.9g}" if isinstance(value, float) else value for name, value in found.items()}


def _done(row: dict[str, str], trial: Trial) -> Done:
    if any(row[name] != str(level_name(getattr(trial.cell, name))) for name in NAMES):
        raise ValueError(f"trial {trial.number} has other levels")
    if not row["wall_s"]:
        return Done(trial=trial, outcome=None, error=row["error"])
    measures = {name: row[name] or None for name in _MEASURES}
    return Done(trial=trial, outcome=msgspec.convert(measures, Outcome, strict=False))
