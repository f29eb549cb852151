"""A trial is a whole run, of which start-up and work are parts; here with workers that are threads."""

from __future__ import annotations

import time
from pathlib import Path

from pileus.bench.engines.trial import Task, measure
from tests.e2e.digits import digits
from tests.e2e.running import trial_spec

__all__ = ["digits"]


def test_the_parts_of_a_run_are_told(digits: Path, tmp_path: Path) -> None:
    spec = trial_spec(digits, "engine.name=fake", "epochs=8", "workers=2")
    found = measure(Task(spec=spec, runs=str(tmp_path), asked_at=time.monotonic()))
    assert 0 < found.start_s < found.total_s
    assert 0 < found.work_s < found.total_s - found.start_s
    assert found.accuracy > 0.5 and [one.name for one in found.classes] == list("abcd")
    assert sum(one.support for one in found.classes) == 32
    assert found.peak_bytes > 50e6 and found.network_bytes >= 0
    assert (len(found.fingerprint), found.accuracy_by_k) == (64, ())
