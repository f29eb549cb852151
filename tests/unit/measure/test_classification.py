"""Every figure against scikit-learn, SciPy or a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest  # type: ignore[import-untyped]
from sklearn import metrics

from pileus.errors import UsageError
from pileus.measure.classification import (
    NUM_BINS,
    as_text,
    measure_classification,
    most_confused,
    wilson_interval,
)
from pileus.spec.values import canonical_json

NAMES = ("ant", "bee", "cow", "dog", "eel")


def drawn(num_samples: int, num_classes: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities of a mediocre classifier, and labels."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, num_classes, num_samples)
    logits_NK = rng.normal(size=(num_samples, num_classes)) * 2
    logits_NK[np.arange(num_samples), labels_N] += 2
    exponents_NK = np.exp(logits_NK)
    return (exponents_NK / exponents_NK.sum(axis=1, keepdims=True)).astype(np.float32), labels_N


def one_hot(predicted: list[int], num_classes: int) -> NDArray[np.float32]:
    return np.eye(num_classes, dtype=np.float32)[predicted]


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    probabilities_NK, labels_N = drawn(400, 5, seed)
    predicted_N = probabilities_NK.argmax(axis=1)
    measured = measure_classification(probabilities_NK, labels_N, NAMES)
    assert measured.num_samples == 400
    assert measured.accuracy == pytest.approx(metrics.accuracy_score(labels_N, predicted_N))
    np.testing.assert_array_equal(measured.confusion_KK, metrics.confusion_matrix(labels_N, predicted_N))
    expected = np.array(metrics.precision_recall_fscore_support(labels_N, predicted_N)).T
    got = [(one.precision, one.recall, one.f1, one.support) for one in measured.per_class]
    np.testing.assert_allclose(got, expected)
    macro = metrics.precision_recall_fscore_support(labels_N, predicted_N, average="macro")[:3]
    assert (measured.macro_precision, measured.macro_recall, measured.macro_f1) == pytest.approx(macro)
    for k in (2, 3):
        assert measured.top_k[str(k)] == metrics.top_k_accuracy_score(labels_N, probabilities_NK, k=k)
    exact_NK = probabilities_NK / probabilities_NK.sum(axis=1, keepdims=True, dtype=np.float64)
    assert measured.log_loss == pytest.approx(metrics.log_loss(labels_N, exact_NK), rel=1e-5)


def test_averages_are_over_the_classes_that_occur() -> None:
    """As scikit-learn's: a class that is neither truth nor answer says nothing about the model."""
    probabilities_NK, labels_N = one_hot([0, 0, 1, 2], 5), np.array([0, 1, 1, 1])
    measured = measure_classification(probabilities_NK, labels_N, NAMES)
    macro = metrics.precision_recall_fscore_support(labels_N, [0, 0, 1, 2], average="macro", zero_division=0)[:3]
    assert (measured.macro_precision, measured.macro_recall, measured.macro_f1) == pytest.approx(macro)
    never = measured.per_class[3]
    assert (never.precision, never.recall, never.f1, never.support) == (0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(("num_right", "num_samples"), [(0, 1), (1, 1), (0, 50), (50, 50), (983, 1000), (7, 19)])
def test_the_interval_is_wilsons(num_right: int, num_samples: int) -> None:
    expected = binomtest(num_right, num_samples).proportion_ci(method="wilson")
    assert wilson_interval(num_right, num_samples) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson_interval(num_right, num_samples)
    assert 0.0 <= low <= num_right / num_samples <= high <= 1.0


def test_calibration_error_by_a_plain_loop() -> None:
    probabilities_NK, labels_N = drawn(500, 4)
    measured = measure_classification(probabilities_NK, labels_N, NAMES[:4])
    confidence_N = probabilities_NK.max(axis=1).astype(np.float64)
    right_N = probabilities_NK.argmax(axis=1) == labels_N
    expected = 0.0
    for number, shown in enumerate(measured.reliability):
        low, high = number / NUM_BINS, (number + 1) / NUM_BINS
        inside = [n for n in range(500) if low < confidence_N[n] <= high]
        assert shown.count == len(inside)
        if inside:
            confidence = math.fsum(confidence_N[inside]) / len(inside)
            accuracy = float(right_N[inside].mean())
            assert (shown.confidence, shown.accuracy) == pytest.approx((confidence, accuracy))
            expected += len(inside) / 500 * abs(accuracy - confidence)
    assert measured.ece == pytest.approx(expected)


def test_borders_of_the_bins_belong_to_the_lower_bin() -> None:
    probabilities_NK = np.array([[1.0, 0.0], [0.6, 0.4]], np.float32)
    bins = measure_classification(probabilities_NK, np.array([0, 0]), NAMES[:2]).reliability
    assert bins[-1].count == 1, "a confidence of exactly 1 is in the last bin"
    assert sum(one.count for one in bins) == 2


def test_of_equal_probabilities_the_first_class_is_the_answer() -> None:
    probabilities_NK = np.full((3, 3), 1 / 3, np.float32)
    measured = measure_classification(probabilities_NK, np.array([0, 1, 2]), NAMES[:3])
    assert measured.accuracy == pytest.approx(1 / 3)
    assert measured.top_k == {"2": pytest.approx(2 / 3)}
    assert [row[0] for row in measured.confusion_KK] == [1, 1, 1]


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    measured = measure_classification(one_hot([1], 2), np.array([0]), NAMES[:2])
    assert measured.log_loss == pytest.approx(-math.log(np.finfo(np.float32).eps))


def test_most_confused_pairs_come_first() -> None:
    predicted = [1, 1, 0, 2, 0, 0]
    labels = [0, 0, 1, 1, 0, 1]
    pairs = most_confused(measure_classification(one_hot(predicted, 3), np.array(labels), NAMES[:3]), most=2)
    assert [(pair.truth, pair.predicted, pair.times) for pair in pairs] == [("ant", "bee", 2), ("bee", "ant", 2)]
    assert pairs[0].share == pytest.approx(2 / 3)
    perfect = measure_classification(one_hot([0, 1], 2), np.array([0, 1]), NAMES[:2])
    assert most_confused(perfect) == []


def test_the_text_has_the_figures_of_scikit_learns_report() -> None:
    probabilities_NK, labels_N = drawn(300, 5)
    text = as_text(measure_classification(probabilities_NK, labels_N, NAMES))
    theirs = metrics.classification_report(
        labels_N, probabilities_NK.argmax(axis=1), target_names=list(NAMES), digits=4
    )
    rows = {line.split()[0]: line.split()[1:] for line in theirs.splitlines() if line.split()[:1]}
    ours = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()[:1]}
    assert [ours[name] for name in NAMES] == [rows[name] for name in NAMES]
    assert ours["macro"][1:] == rows["macro"][1:]


def test_a_long_name_does_not_break_the_text() -> None:
    measured = measure_classification(one_hot([0, 1], 2), np.array([0, 1]), ("a" * 500, "b"))
    assert max(map(len, as_text(measured).splitlines())) < 120


def test_it_can_be_kept_as_canonical_json() -> None:
    probabilities_NK, labels_N = drawn(50, 5)
    measured = measure_classification(probabilities_NK, labels_N, NAMES)
    assert b'"top_k": {\n    "2"' in canonical_json(measured)


@pytest.mark.parametrize(
    ("probabilities", "labels", "told"),
    [
        (np.zeros((0, 2)), np.zeros(0, np.int64), "no samples"),
        (np.zeros((2, 3)), np.zeros(2, np.int64), r"must be \(N, 2\)"),
        (np.zeros((2, 2)), np.zeros(3, np.int64), r"must be \(N, 2\)"),
        (np.zeros((2, 2)), np.array([0, 2]), r"labels must be in \[0, 2\)"),
        (np.zeros((2, 2)), np.array([-1, 0]), r"labels must be in \[0, 2\)"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "finite"),
    ],
)
def test_what_cannot_be_measured_is_told(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        measure_classification(probabilities, labels, NAMES[:2])
