"""What a run's events tell about the time it took, over all its drives.

Of a drive that was killed only what lies before its last event counts: nobody knows how long it lived after that.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import NamedTuple

from pileus.runs.directory import RunEvent

_STATES = frozenset(
    {"starting", "training", "suspecting", "waiting", "stopping", "ending", "packing", "done", "failed", "interrupted"}
)
_BEFORE_A_START = frozenset({"ending", "waiting"})
"""A start after any other state is that of a new drive, whose forerunner was killed or has ended."""


class Spent(NamedTuple):
    training_s: float
    """Stops in order included."""
    startup_s: float
    """From asking for a gang to its being whole."""
    restarts: int
    """Gangs that were started anew after a failure or a loss."""


def spent(events: Iterable[RunEvent]) -> Spent:
    seconds = dict.fromkeys(_STATES | {""}, 0.0)
    restarts, state, last = 0, "", None
    for event in events:
        time = datetime.datetime.fromisoformat(event.time)
        new_drive = event.kind == "starting" and state not in _BEFORE_A_START
        if last is not None and not new_drive:
            seconds[state] += max(0.0, (time - last).total_seconds())
        if event.kind == "ending" and event.data.get("then") == "restart" and state != "stopping":
            restarts += 1
        if event.kind in _STATES:
            state = event.kind
        last = time
    return Spent(seconds["training"] + seconds["stopping"], seconds["starting"], restarts)
