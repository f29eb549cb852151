"""The learning rate over a run."""

from __future__ import annotations

import itertools

import pytest

from pileus.spec.resolve import resolve
from pileus.spec.run import RunSpec
from pileus.training.schedule import learning_rate


def spec(**settings: object) -> RunSpec:
    base = {"model": "digits_cnn", "data": {"source": "x"}, "epochs": 4, "optimizer": {"name": "sgd", "lr": 1.0}}
    return resolve({**base, **settings})


def test_constant() -> None:
    assert {learning_rate(spec(), step, 10) for step in range(40)} == {1.0}


def test_warmup_rises_in_a_line_to_the_peak() -> None:
    rates = [learning_rate(spec(warmup_epochs=0.4), step, 10) for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_cosine_falls_from_the_peak_to_near_zero_and_never_rises() -> None:
    rates = [learning_rate(spec(schedule="cosine", warmup_epochs=1.0), step, 10) for step in range(40)]
    assert rates[10] == pytest.approx(1.0)
    assert rates[25] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01
    assert all(one >= other for one, other in itertools.pairwise(rates[10:]))
