"""Trainings that are disturbed in mid-epoch, by workers that are threads; what was not disturbed is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from pileus.bench.fingerprints.design import Trial
from pileus.bench.fingerprints.trial import Outcome, Task, measure, middle_of_last_epoch
from pileus.errors import UsageError
from pileus.spec.run import RunSpec
from tests.e2e.digits import digits
from tests.e2e.running import STEPS_PER_EPOCH, trial_spec

__all__ = ["digits"]


def spec_of(digits: Path, *pairs: str) -> RunSpec:
    return trial_spec(digits, "engine.name=fake", "epochs=2", "workers=2", *pairs)


def outcome(spec: RunSpec, case: Literal["whole", "killed", "moved"], folder: Path) -> Outcome:
    then = "fake" if case == "moved" else ""
    trial = Trial(number=0, engine="fake", case=case, workers=spec.workers, then=then)
    return measure(Task(trial=trial, spec=spec, then=then, folder=str(folder)))


def test_disturbed_trainings_end_with_the_weights_of_the_whole_one(digits: Path, tmp_path: Path) -> None:
    spec = spec_of(digits)
    whole, killed, moved = (outcome(spec, case, tmp_path) for case in ("whole", "killed", "moved"))
    assert whole.disturbed_at is None and whole.steps == 2 * STEPS_PER_EPOCH
    assert killed.fingerprint == moved.fingerprint == whole.fingerprint
    assert killed.disturbed_at == STEPS_PER_EPOCH + STEPS_PER_EPOCH // 2
    assert moved.disturbed_at is not None and STEPS_PER_EPOCH < moved.disturbed_at <= killed.disturbed_at
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_without_a_middle_is_refused(digits: Path) -> None:
    with pytest.raises(UsageError, match="lower batch_size"):
        middle_of_last_epoch(spec_of(digits, "batch_size=160"))
