"""Every request of the counted time is in the tally once; quantiles are exact; a late sender is told."""

from __future__ import annotations

import numpy as np
import pytest

from pileus.bench.serving.load import Arrivals, Latency, Task
from pileus.bench.serving.tally import OK, Tally

TASK = Task(host="h", port=1, media_type="x", bodies=(b"a",), load=Arrivals(per_s=1.0), seconds=2.0, bin_s=1.0)


def test_quantiles_are_values_that_were_seen() -> None:
    latency = Latency.of(np.arange(1, 1001) / 1e3)
    assert latency is not None
    found = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
    assert found == pytest.approx((500.0, 900.0, 990.0, 999.0, 1000.0))
    assert Latency.of(np.empty(0)) is None


def test_each_request_counts_by_its_intended_time_and_its_end() -> None:
    tally = Tally(TASK, began=10.0)
    for due, cause, now in (
        (9.9, OK, 10.5),  # warm-up
        (10.0, OK, 10.1),
        (10.5, "429", 10.6),
        (11.5, OK, 12.5),  # well, but after counting ended
        (11.9, "timeout", 21.0),
        (12.0, OK, 12.1),  # past it
    ):
        tally.ended(cause, due, now, sent_at=due + 0.05)
    sent = tally.result()
    assert (sent.sent, sent.ok, sent.in_time, sent.failed) == (4, 2, 2, {"429": 1, "timeout": 1})
    assert sent.goodput == 1.0
    assert sent.latency is not None and sent.latency.max_ms == pytest.approx(1000.0)
    assert sent.refused is not None and sent.refused.p50_ms == pytest.approx(100.0)
    assert sent.refused_after is not None and sent.refused_after.p50_ms == pytest.approx(50.0)
    assert [(each.at_s, each.ok, each.failed) for each in sent.timeline] == [(0.0, 1, 1), (1.0, 1, 1)]
    assert sent.timeline[1].p50_ms == pytest.approx(1000.0)


def test_answers_are_counted_by_what_they_say() -> None:
    tally = Tally(TASK, began=0.0)
    for answer in (b"x", b"y", b"x"):
        tally.gave(0, answer)
    for wait_s in (3.0, 1.0, 2.0):
        tally.retry_after(wait_s)
    sent = tally.result()
    assert {each.answer: each.times for each in sent.given} == {b"x": 2, b"y": 1}
    assert sent.retry_after_s == (1.0, 3.0)


@pytest.mark.parametrize(("late_s", "kept_up"), [(0.001, True), (0.006, False)])
def test_a_sender_that_is_late_by_its_own_fault_says_so(late_s: float, kept_up: bool) -> None:
    tally = Tally(TASK, began=0.0)
    for number in range(100):
        tally.started(number / 100, late_s if number < 2 else 0.0)
    sent = tally.result()
    assert sent.late == (0.0 if kept_up else 0.02)
    assert sent.kept_up == kept_up
