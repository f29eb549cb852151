"""What a classifier's probabilities are worth on labelled samples: the figures behind every claim of accuracy.

Written with numpy alone, so that a served model can be measured without the training libraries; the tests
compare each figure with scikit-learn's.

Axes: N samples, K classes; the first K of a confusion matrix is the truth, the second the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.errors import UsageError
from pileus.spec.values import Spec

NUM_BINS = 15
_TOP = (2, 3)
_Z_95 = 1.959963984540054
_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Below it a probability is taken for it, so that one certain mistake does not make the log loss infinite."""
_NAME_WIDTH = 24


class ClassFigures(Spec, frozen=True, kw_only=True):
    """One class against the rest. A ratio without cases is 0."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Samples whose truth it is."""


class Bin(Spec, frozen=True, kw_only=True):
    """One interval (low, high] of confidence."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean over its samples; 0 where there are none."""
    accuracy: float
    """Share of its samples that are right; 0 where there are none."""


class Classification(Spec, frozen=True, kw_only=True):
    """All ratios are in [0, 1]."""

    num_samples: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % interval of the accuracy (Wilson, 1927)."""
    top_k: dict[str, float]
    """By k, share of samples whose truth is among the k most probable, for k of 2 and 3 below K. Ties go to the
    first class."""
    log_loss: float
    """Mean over samples, in nats."""
    macro_precision: float
    macro_recall: float
    macro_f1: float
    """Unweighted means over the classes that occur as truth or as prediction."""
    ece: float
    """Expected calibration error over bins of equal width (Guo et al., 2017)."""
    per_class: tuple[ClassFigures, ...]
    confusion_KK: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(figures.name for figures in self.per_class)


class Confusion(NamedTuple):
    """How often one class was taken for another."""

    truth: str
    predicted: str
    times: int
    share: float
    """Of the samples of the truth."""


def measure_classification(
    probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.integer], classes: Sequence[str]
) -> Classification:
    """The prediction is the first of the most probable classes. UsageError for no samples or unfit arrays."""
    _check(probabilities_NK, labels_N, classes)
    rank_N = _ranks(probabilities_NK, labels_N)
    confusion_KK = _confusion(probabilities_NK.argmax(axis=1), labels_N, len(classes))
    per_class = _per_class(confusion_KK, classes)
    occurring = (confusion_KK.sum(axis=0) + confusion_KK.sum(axis=1)) > 0
    met = [figures for figures, occurs in zip(per_class, occurring, strict=True) if occurs]
    bins = _bins(probabilities_NK.max(axis=1).astype(np.float64), rank_N == 0)
    num_samples, num_right = len(labels_N), int((rank_N == 0).sum())
    truth_N = np.take_along_axis(probabilities_NK, labels_N[:, None].astype(np.int64), axis=1)[:, 0]
    return Classification(
        num_samples=num_samples,
        accuracy=num_right / num_samples,
        accuracy_interval=wilson_interval(num_right, num_samples),
        top_k={str(k): float((rank_N < k).mean()) for k in _TOP if k < len(classes)},
        log_loss=float(-np.log(np.maximum(truth_N.astype(np.float64), _LEAST_PROBABILITY)).mean()),
        macro_precision=_mean([figures.precision for figures in met]),
        macro_recall=_mean([figures.recall for figures in met]),
        macro_f1=_mean([figures.f1 for figures in met]),
        ece=sum(one.count / num_samples * abs(one.accuracy - one.confidence) for one in bins),
        per_class=per_class,
        confusion_KK=tuple(tuple(row) for row in confusion_KK.tolist()),
        reliability=bins,
    )


def wilson_interval(num_right: int, num_samples: int) -> tuple[float, float]:
    """Bounds within [0, 1] of the share that `num_right` of `num_samples` stands for, at 95 %."""
    share, z2 = num_right / num_samples, _Z_95**2
    middle = share + z2 / (2 * num_samples)
    reach = _Z_95 * math.sqrt(share * (1 - share) / num_samples + z2 / (4 * num_samples**2))
    scale = 1 + z2 / num_samples
    low = 0.0 if num_right == 0 else (middle - reach) / scale
    high = 1.0 if num_right == num_samples else (middle + reach) / scale
    return low, high


def most_confused(measured: Classification, most: int = 10) -> list[Confusion]:
    """The pairs of different classes that are confused most often, most first."""
    confusion_KK = np.array(measured.confusion_KK)
    np.fill_diagonal(confusion_KK, 0)
    order = np.argsort(-confusion_KK, axis=None, kind="stable")[:most]
    found = []
    for truth, predicted in zip(*np.unravel_index(order, confusion_KK.shape), strict=True):
        times, of = int(confusion_KK[truth, predicted]), measured.per_class[truth]
        if times:
            found.append(Confusion(of.name, measured.per_class[predicted].name, times, times / of.support))
    return found


def as_text(measured: Classification) -> str:
    """A plain table per class with the averages below, for logs and terminals."""
    width = max([len("macro average"), *(min(len(name), _NAME_WIDTH) for name in measured.classes)])
    lines = [f"{'':>{width}} {'precision':>9} {'recall':>7} {'f1':>7} {'support':>8}", ""]
    for one in measured.per_class:
        name = shortened(one.name, _NAME_WIDTH)
        figures = f"{one.precision:>9.4f} {one.recall:>7.4f} {one.f1:>7.4f} {one.support:>8}"
        lines.append(f"{name:>{width}} {figures}")
    macro = f"{measured.macro_precision:>9.4f} {measured.macro_recall:>7.4f} {measured.macro_f1:>7.4f}"
    low, high = measured.accuracy_interval
    summary = (
        f"accuracy {measured.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}), "
        f"log loss {measured.log_loss:.4f}, calibration error {measured.ece:.4f}"
    )
    lines += ["", f"{'macro average':>{width}} {macro} {measured.num_samples:>8}", "", summary]
    return "\n".join(lines)


def shortened(name: str, width: int) -> str:
    """At most `width` characters, with an ellipsis where something is left out."""
    return name if len(name) <= width else name[: width - 1] + "…"


def _check(probabilities_NK: ArrayLike, labels_N: ArrayLike, classes: Sequence[str]) -> None:
    shape, labels = np.shape(probabilities_NK), np.asarray(labels_N)
    if len(shape) != 2 or labels.shape != shape[:1] or shape[1] != len(classes):
        raise UsageError(
            f"probabilities must be (N, {len(classes)}) and labels (N,) for {len(classes)} classes "
            f"(got {shape} and {labels.shape}); bring them into one order."
        )
    if not len(labels):
        raise UsageError("there is nothing to measure: no samples; choose another split or source.")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UsageError(
            f"labels must be in [0, {len(classes)}) (got {labels.min()} to {labels.max()}); check the classes."
        )
    if not np.isfinite(probabilities_NK).all():
        raise UsageError("probabilities must be finite (got NaN or infinity); the model has diverged.")


def _ranks(probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N,) how many classes come before the truth: the more probable, and the equal ones that stand first."""
    truth_N1 = np.take_along_axis(probabilities_NK, labels_N[:, None].astype(np.int64), axis=1)
    first_NK = np.arange(probabilities_NK.shape[1]) < labels_N[:, None]
    before_NK = (probabilities_NK > truth_N1) | ((probabilities_NK == truth_N1) & first_NK)
    return np.asarray(before_NK.sum(axis=1), np.int64)


def _confusion(predicted_N: NDArray[np.int64], labels_N: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    cells_N = labels_N.astype(np.int64) * num_classes + predicted_N
    return np.bincount(cells_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def _per_class(confusion_KK: NDArray[np.int64], classes: Sequence[str]) -> tuple[ClassFigures, ...]:
    hits_K = confusion_KK.diagonal().astype(np.float64)
    support_K, predicted_K = confusion_KK.sum(axis=1), confusion_KK.sum(axis=0)
    precision_K = hits_K / np.maximum(predicted_K, 1)
    recall_K = hits_K / np.maximum(support_K, 1)
    f1_K = 2 * hits_K / np.maximum(predicted_K + support_K, 1)
    return tuple(
        ClassFigures(
            name=name,
            precision=float(precision_K[k]),
            recall=float(recall_K[k]),
            f1=float(f1_K[k]),
            support=int(support_K[k]),
        )
        for k, name in enumerate(classes)
    )


def _bins(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> tuple[Bin, ...]:
    place_N = np.clip(np.ceil(confidence_N * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    count_B = np.bincount(place_N, minlength=NUM_BINS)
    confidence_B = np.bincount(place_N, weights=confidence_N, minlength=NUM_BINS) / np.maximum(count_B, 1)
    accuracy_B = np.bincount(place_N, weights=right_N, minlength=NUM_BINS) / np.maximum(count_B, 1)
    return tuple(
        Bin(
            low=b / NUM_BINS,
            high=(b + 1) / NUM_BINS,
            count=int(count_B[b]),
            confidence=float(confidence_B[b]),
            accuracy=float(accuracy_B[b]),
        )
        for b in range(NUM_BINS)
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
