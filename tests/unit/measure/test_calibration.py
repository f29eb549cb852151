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
from pileus.measure.calibration import LEAST, MOST, fit_temperature


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
