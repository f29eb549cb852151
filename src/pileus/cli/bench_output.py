"""Where a study of `pileus bench` leaves its record."""

from __future__ import annotations

import datetime
from pathlib import Path


def folder_of(study: str, given: str | None) -> Path:
    """What the user gave, or a new name by the time."""
    return Path(given or f"bench/{study}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}")


def files_of(out: Path, results: str = "results.jsonl") -> dict[str, str]:
    """For the document that the command prints."""
    return {"out": str(out), "report": str(out / "report.html"), "results": str(out / results)}
