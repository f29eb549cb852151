"""What makes confidence mean what it says, fitted on samples that the model has not learned from.

A temperature (Guo et al., On Calibration of Modern Neural Networks, 2017) divides the logits, so no prediction changes;
two thresholds say which answers are certain and which are none.

The search for the temperature is over 1/T, in which the loss is convex, with a prior that is convex as well and has its
minimum at T = 1: few or perfectly separated samples, whose own loss has its minimum at T = 0, cannot run away.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pileus.errors import UsageError

LEAST, MOST = 0.05, 20.0
"""Bounds of the temperature."""
LEAST_CERTAIN = 0.9
"""Below this confidence no answer is certain."""
LEAST_RIGHT = 0.995
"""Share of the certain answers that are right."""
MOST_REJECTED = 0.02
"""Share of the samples of a class that are rejected, by mistake."""
FEWEST_SAMPLES = 100
"""With fewer, thresholds are left as they are."""

_PRIOR_NATS = 1.0
"""Weight of the prior 1/T - 1 - log(1/T) against the loss of a whole sample: one doubtful sample's worth."""
_PRECISION = 1e-6
"""Of log T."""
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits_NK: NDArray[np.float32], labels_N: NDArray[np.integer]) -> float:
    """T in [LEAST, MOST] with the lowest loss of softmax(logits / T); 1.0 without samples. Deterministic.

    UsageError for arrays that do not fit each other or logits that are not finite.
    """
    if logits_NK.ndim != 2 or labels_N.shape != logits_NK.shape[:1]:
        raise UsageError(
            f"logits must be (N, K) and labels (N,) (got {logits_NK.shape} and {labels_N.shape}); "
            "bring them into one order."
        )
    if not np.isfinite(logits_NK).all():
        raise UsageError("logits must be finite (got NaN or infinity); the model has diverged.")
    if not len(labels_N):
        return 1.0
    centred_NK = logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True)
    truth_N = np.take_along_axis(centred_NK, labels_N[:, None].astype(np.int64), axis=1)[:, 0]

    def loss(log_t: float) -> float:
        scale = math.exp(-log_t)
        own = np.log(np.exp(centred_NK * scale).sum(axis=1)) - truth_N * scale
        return float(own.sum()) + _PRIOR_NATS * (scale - 1 + log_t)

    low, high = math.log(LEAST), math.log(MOST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > _PRECISION:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return math.exp((low + high) / 2)


def fit_certain(probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.integer]) -> float:
    """The least confidence, at least LEAST_CERTAIN, from which on LEAST_RIGHT of the answers are right; else 1.0."""
    if len(labels_N) < FEWEST_SAMPLES:
        return LEAST_CERTAIN
    confidence_N = probabilities_NK.max(axis=1)
    order_N = np.argsort(-confidence_N, kind="stable")
    falling_N = confidence_N[order_N]
    share_right_N = np.cumsum(probabilities_NK.argmax(axis=1)[order_N] == labels_N[order_N]) / np.arange(
        1, len(labels_N) + 1
    )
    is_last_N = np.append(falling_N[1:] < falling_N[:-1], True)  # of equal confidences all are taken or none
    fits_N = is_last_N & (share_right_N >= LEAST_RIGHT)
    if not fits_N.any():
        return 1.0
    return max(LEAST_CERTAIN, float(falling_N[np.flatnonzero(fits_N)[-1]]))


def fit_rejected(belonging_N: NDArray[np.float32], otherwise: float) -> float:
    """The threshold under which at most MOST_REJECTED of these lie; `otherwise` where they are too few to tell.

    (N,): how far the model takes samples of its classes for such.
    """
    if len(belonging_N) < FEWEST_SAMPLES:
        return otherwise
    return float(np.sort(belonging_N)[int(MOST_REJECTED * len(belonging_N))])
