"""The temperature that is found is the one that was there, and never an absurd one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from pileus.errors import UsageError
from pileus.measure.calibration import (
    FEWEST_SAMPLES,
    LEAST,
    LEAST_CERTAIN,
    LEAST_RIGHT,
    MOST,
    MOST_REJECTED,
    fit_certain,
    fit_rejected,
    fit_temperature,
)


def sampled(temperature: float, num_samples: int = 4000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels that are drawn with the probabilities softmax(logits / temperature)."""
    rng = np.random.default_rng(5)
    logits_NK = rng.normal(size=(num_samples, 5)) * 4
    noise_NK = rng.gumbel(size=logits_NK.shape)
    return logits_NK.astype(np.float32), (logits_NK / temperature + noise_NK).argmax(axis=1)


def mean_loss(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64], temperature: float) -> float:
    scaled_NK = logits_NK.astype(np.float64) / temperature
    scaled_NK -= scaled_NK.max(axis=1, keepdims=True)
    losses_N = np.log(np.exp(scaled_NK).sum(axis=1)) - scaled_NK[np.arange(len(labels_N)), labels_N]
    return float(losses_N.mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    logits_NK, labels_N = sampled(temperature)
    found = fit_temperature(logits_NK, labels_N)
    assert found == pytest.approx(temperature, rel=0.06)
    assert found == fit_temperature(logits_NK, labels_N)


def test_the_minimum_is_that_of_another_search() -> None:
    logits_NK, labels_N = sampled(2.5)
    other = minimize_scalar(
        lambda t: len(labels_N) * mean_loss(logits_NK, labels_N, t) + 1 / t - 1 + math.log(t),
        bounds=(LEAST, MOST),
        method="bounded",
        options={"xatol": 1e-7},
    )
    assert fit_temperature(logits_NK, labels_N) == pytest.approx(other.x, rel=1e-4)


@pytest.mark.parametrize("num_samples", [1, 10, 1000])
def test_perfectly_separated_samples_stay_sane(num_samples: int) -> None:
    labels_N = np.arange(num_samples) % 3
    logits_NK = (8 * np.eye(3, dtype=np.float32))[labels_N]
    assert 0.3 < fit_temperature(logits_NK, labels_N) <= 1.0


def test_answers_that_are_all_wrong_are_flattened_within_the_bound() -> None:
    labels_N = np.arange(300) % 3
    logits_NK = (100 * np.eye(3, dtype=np.float32))[(labels_N + 1) % 3]
    assert fit_temperature(logits_NK, labels_N) == pytest.approx(MOST, rel=1e-3)


def test_without_samples_nothing_is_changed() -> None:
    assert fit_temperature(np.empty((0, 3), np.float32), np.empty(0, np.int64)) == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 6), st.floats(0.01, 1000))
def test_never_worse_than_before_by_more_than_the_prior(
    seed: int, num_samples: int, num_classes: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    logits_NK = (scale * rng.normal(size=(num_samples, num_classes))).astype(np.float32)
    labels_N = rng.integers(0, num_classes, num_samples)
    found = fit_temperature(logits_NK, labels_N)
    assert LEAST * 0.999 <= found <= MOST * 1.001
    before = mean_loss(logits_NK, labels_N, 1.0)
    assert mean_loss(logits_NK, labels_N, found) <= before * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize(
    ("logits", "labels", "told"),
    [
        (np.zeros(3), np.zeros(3, np.int64), r"\(N, K\)"),
        (np.zeros((3, 2)), np.zeros(2, np.int64), r"\(N, K\)"),
        (np.full((3, 2), np.inf), np.zeros(3, np.int64), "finite"),
    ],
)
def test_unfit_arrays_are_told(logits: NDArray[np.float32], labels: NDArray[np.int64], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fit_temperature(logits, labels)


def rising(num_samples: int, wrong: list[int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of two classes, confidence rising from 0.5 to 1 with the row; right but for those rows."""
    confidence_N = np.linspace(0.5, 1.0, num_samples)
    labels_N = np.zeros(num_samples, np.int64)
    labels_N[wrong] = 1
    return np.stack([confidence_N, 1 - confidence_N], axis=1).astype(np.float32), labels_N


def test_certain_is_where_nearly_all_from_there_on_are_right() -> None:
    probabilities_NK, labels_N = rising(10_000, [*range(0, 9800, 10), *range(9800, 9900)])
    certain = fit_certain(probabilities_NK, labels_N)
    taken_N = probabilities_NK[:, 0] >= certain
    assert (labels_N[taken_N] == 0).mean() >= LEAST_RIGHT
    one_more_N = probabilities_NK[:, 0] >= probabilities_NK[np.flatnonzero(taken_N)[0] - 1, 0]
    assert (labels_N[one_more_N] == 0).mean() < LEAST_RIGHT


def test_certain_has_a_least_confidence_and_may_be_out_of_reach() -> None:
    assert fit_certain(*rising(1000, [])) == LEAST_CERTAIN
    assert fit_certain(*rising(1000, list(range(1000)))) == 1.0
    assert fit_certain(*rising(FEWEST_SAMPLES - 1, list(range(99)))) == LEAST_CERTAIN


def test_samples_of_one_confidence_are_certain_together_or_not() -> None:
    probabilities_NK = np.tile(np.array([0.95, 0.05], np.float32), (1000, 1))
    labels_N = (np.arange(1000) >= 900).astype(np.int64)
    assert fit_certain(probabilities_NK, labels_N) == 1.0


@given(st.integers(FEWEST_SAMPLES, 1000), st.integers(0, 2**32 - 1), st.booleans())
def test_no_more_than_the_share_is_rejected(num_samples: int, seed: int, has_ties: bool) -> None:
    belonging_N = np.random.default_rng(seed).random(num_samples).astype(np.float32)
    if has_ties:
        belonging_N = np.round(belonging_N, 1)
    share = (belonging_N < fit_rejected(belonging_N, otherwise=0.3)).mean()
    assert share <= MOST_REJECTED
    assert has_ties or share > MOST_REJECTED - 1 / num_samples


def test_too_few_samples_fit_no_threshold() -> None:
    assert fit_rejected(np.zeros(FEWEST_SAMPLES - 1, np.float32), otherwise=0.3) == 0.3
