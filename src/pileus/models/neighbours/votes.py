"""From neighbours to classes: each has one vote; of classes with equally many, that with the nearest neighbour wins.

For logits the nearness of its nearest neighbour gives a class up to half a vote more, so that they say the same; and
every class has a little of a vote, so that none is impossible. The bundle's graph does the same (`bundles.neighbours`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRIOR_VOTES = 0.03
"""Of each class: what told best of unseen MNIST and Fashion-MNIST where no temperature is fitted."""


def logits_of(labels_NK: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """(N, C) from the labels of each query's neighbours, the nearest first."""
    return np.asarray(np.log(_scores(labels_NK, num_classes)[-1] + np.float32(PRIOR_VOTES)), np.float32)


def accuracy_by_k(labels_NK: NDArray[np.int64], truth_N: NDArray[np.int64], num_classes: int) -> list[float]:
    """Of k = 1..K, in [0, 1]; NaN without queries."""
    if not len(truth_N):
        return [float("nan")] * labels_NK.shape[1]
    return [float((scores_NC.argmax(axis=1) == truth_N).mean()) for scores_NC in _scores(labels_NK, num_classes)]


def _scores(labels_NK: NDArray[np.int64], num_classes: int) -> list[NDArray[np.float32]]:
    """By k from 1 on: votes, and half a vote times the part of the k that come after a class's nearest or are it."""
    rows = np.arange(len(labels_NK))
    votes_NC = np.zeros((len(labels_NK), num_classes), np.float32)
    first_NC = np.full(votes_NC.shape, np.inf, np.float32)
    scores: list[NDArray[np.float32]] = []
    for rank, labels_N in enumerate(labels_NK.T):
        votes_NC[rows, labels_N] += 1
        first_NC[rows, labels_N] = np.minimum(first_NC[rows, labels_N], rank)
        nearness_NC = np.maximum(rank + 1 - first_NC, 0) / np.float32(2 * (rank + 1))
        scores.append(np.asarray(votes_NC + nearness_NC, np.float32))
    return scores
