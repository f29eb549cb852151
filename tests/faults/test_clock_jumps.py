"""The clock on the wall may jump as it likes: nothing is decided by it."""

from __future__ import annotations

import datetime
import itertools
import time
from pathlib import Path

import pytest

from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import train
from pileus.spec.job import Fault
from tests.e2e.running import trial_spec

_HOUR_S = 3600.0


def test_hours_forth_and_back_change_nothing(
    digits: Path, fingerprint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle((0.0, _HOUR_S, -_HOUR_S))
    wall = time.time

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Jumping:
            return cls.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: wall() + next(jumps))
    monkeypatch.setattr(datetime, "datetime", Jumping)
    fault = Fault(kind="kill_worker", rank=1, step=30)
    spec = trial_spec(digits, "workers=2", "engine.name=fake")
    result = train(spec, runs=str(tmp_path), name="jumping", faults=(fault,))
    assert (result.fingerprint, result.restarts) == (fingerprint, 1)
    assert verify_run(find_run("jumping", str(tmp_path))).faults == ()
    times = [event.time for event in find_run("jumping", str(tmp_path)).events()]
    assert times != sorted(times)
    assert min(result.phases_s.values()) >= 0.0
