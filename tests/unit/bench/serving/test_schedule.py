"""Rates are kept whatever becomes of the requests; users wait for their answers and pause."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from pileus.bench.serving.load import Arrivals, Users
from pileus.bench.serving.schedule import schedule_of


def test_arrivals_come_at_their_rate_without_a_look_at_the_answers() -> None:
    schedule = schedule_of(Arrivals(per_s=1000.0), 5.0, seed=1)
    times = [schedule.take() for _ in range(20_000)]
    gaps = [after - before for before, after in pairwise(times)]
    assert times[0] == 5.0
    assert sum(gaps) / len(gaps) == pytest.approx(1e-3, rel=0.05)
    assert sum(gap > 1e-3 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), rel=0.05)  # of a Poisson process
    assert [schedule_of(Arrivals(per_s=1000.0), 5.0, seed=1).take() for _ in range(1)] == times[:1]


def test_users_are_as_many_as_they_are_and_ask_again_after_a_pause() -> None:
    schedule = schedule_of(Users(users=3, think_s=2.0), 10.0, seed=1)
    assert all(10.0 <= schedule.take() <= 12.0 for _ in range(3))
    assert schedule.due == math.inf
    schedule.answered(20.0, 0.0)
    assert 21.0 <= schedule.due <= 23.0


def test_a_refused_user_waits_as_long_as_was_said_within_reason() -> None:
    schedule = schedule_of(Users(users=1), 0.0, seed=1)
    schedule.take()
    schedule.answered(1.0, 3.0)
    assert schedule.take() == 4.0
    schedule.answered(4.0, 1e6)
    assert schedule.take() == 9.0
