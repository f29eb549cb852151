"""Votes against the plain reference."""

from __future__ import annotations

import math

import numpy as np

from pileus.models.neighbours.votes import PRIOR_VOTES, accuracy_by_k, logits_of
from reference import knn

LABELS_NK = np.random.default_rng(0).integers(0, 4, (300, 7))


def test_logits_are_the_reference_s() -> None:
    expected_NC = [knn.logits(row, 5, PRIOR_VOTES) for row in LABELS_NK.tolist()]
    np.testing.assert_allclose(logits_of(LABELS_NK, 5), expected_NC, rtol=1e-6)


def test_the_most_votes_win_and_of_equally_many_the_nearest() -> None:
    assert logits_of(np.array([[2, 1, 1], [0, 2, 1], [2, 0, 0]]), 3).argmax(axis=1).tolist() == [1, 0, 0]
    assert logits_of(np.array([[2, 1, 1, 2]]), 3).argmax() == 2


def test_accuracy_is_told_of_every_number_of_neighbours() -> None:
    truth_N = np.random.default_rng(1).integers(0, 4, len(LABELS_NK))
    expected = [
        float(np.mean([knn.winner(row[:k]) == truth for row, truth in zip(LABELS_NK.tolist(), truth_N, strict=True)]))
        for k in range(1, 8)
    ]
    assert accuracy_by_k(LABELS_NK, truth_N, 4) == expected


def test_without_questions_there_is_no_accuracy() -> None:
    assert all(math.isnan(value) for value in accuracy_by_k(LABELS_NK[:0], np.empty(0, np.int64), 4))
