"""What a run took, from its events, over all its drives."""

from __future__ import annotations

import datetime
from typing import Any

from pileus.runs.directory import RunEvent
from pileus.runs.history import Spent, spent

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def story(*told: tuple[float, str] | tuple[float, str, dict[str, Any]]) -> list[RunEvent]:
    """Events at seconds since the first drive began."""
    return [
        RunEvent(
            number=number,
            time=(START + datetime.timedelta(seconds=each[0])).isoformat(),
            kind=each[1],
            data=each[2] if len(each) == 3 else {},
        )
        for number, each in enumerate(told)
    ]


def test_a_plain_run() -> None:
    events = story(
        (0, "starting"), (0.5, "launch"), (3, "training"), (9, "checkpoint"), (13, "ending"), (14, "packing")
    )
    assert spent(events) == Spent(10.0, 3.0, 0)
    assert spent([]) == Spent(0.0, 0.0, 0)


def test_drives_are_summed_and_the_time_between_them_is_not() -> None:
    first = ((0, "starting"), (2, "training"), (10, "stopping"), (11, "ending"), (12, "interrupted"))
    second = ((1000, "starting"), (1001, "training"), (1005, "ending"), (1006, "packing"))
    assert spent(story(*first, *second)) == Spent(13.0, 3.0, 0)


def test_of_a_drive_that_was_killed_counts_what_its_last_event_proves() -> None:
    first = ((0, "starting"), (2, "training"), (10, "checkpoint"))
    second = ((1000, "starting"), (1001, "training"), (1005, "ending"))
    assert spent(story(*first, *second)) == Spent(12.0, 3.0, 0)


def test_gangs_after_a_loss_are_restarts_and_those_after_an_orderly_stop_are_none() -> None:
    again = {"then": "restart"}
    lost = ((0, "starting"), (1, "training"), (2, "ending", again), (3, "starting"), (4, "training"))
    waited = ((5, "ending", again), (6, "waiting"), (9, "starting"), (10, "training"))
    resized = ((11, "stopping"), (12, "ending", again), (13, "starting"), (14, "training"), (15, "ending"))
    assert spent(story(*lost, *waited, *resized)) == Spent(5.0, 4.0, 2)


def test_a_clock_that_was_put_back_takes_nothing_off() -> None:
    assert spent(story((100, "starting"), (110, "training"), (50, "checkpoint"), (55, "ending"))) == Spent(5.0, 10.0, 0)
