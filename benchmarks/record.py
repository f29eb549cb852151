"""A record: what was run, where, what came of it, so that a claim can be read again and run again.

records/<date>_<what>_<hardware>/
  record.json      command, environment, figures with spread, raw measurements
  README.md        the same for a person
"""

from __future__ import annotations

import datetime
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.measure.environment import describe_environment
from pileus.spec.values import canonical_json

RECORDS = Path(__file__).parent / "records"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least, greatest and number of runs."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def write_record(what: str, figures: Mapping[str, Any], raw: Mapping[str, Any], says: str) -> Path:
    """Write the record of today and this machine; `says` is one paragraph for a person. Returns its folder."""
    environment = describe_environment()
    processor = "-".join(environment.processor.lower().replace("(r)", "").split()[:2]) or "unknown"
    hardware = f"{processor}-{environment.cores.usable}c"
    folder = RECORDS / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}_{what}_{hardware}"
    folder.mkdir(parents=True, exist_ok=True)
    command = "python " + " ".join(["benchmarks/" + Path(sys.argv[0]).name, *map(_without_folder, sys.argv[1:])])
    record = {
        "command": command,
        "environment": msgspec.to_builtins(environment),
        "figures": dict(figures),
        "raw": dict(raw),
    }
    (folder / "record.json").write_bytes(canonical_json(record))
    rows = "\n".join(f"| {name} | {_told(value)} |" for name, value in figures.items())
    (folder / "README.md").write_text(
        f"# {what}\n\n{says}\n\n    {command}\n\n| figure | value |\n|---|---|\n{rows}\n\n"
        f"{environment.processor}, {environment.cores.usable} cores; versions and raw figures in `record.json`.\n"
    )
    return folder


def _without_folder(argument: str) -> str:
    """Where something lies on this machine is nobody's business."""
    path = Path(argument)
    return path.name.upper() if path.exists() and not path.is_relative_to("benchmarks") else argument


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{value['median']:.4g} (min {value['min']:.4g}, max {value['max']:.4g}, {value['runs']} runs)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
