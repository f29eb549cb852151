"""What the held-back part of the training data looks like, so that a server can tell when what it sees does not.

A reference is a histogram of one number an image, cut at the deciles of the data, as is usual for the population
stability index: each bin holds about as much, so that a change anywhere shows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pileus.errors import SpecError, UsageError
from pileus.spec.values import Spec

MAX_BINS = 10
_SAMPLES_A_BIN = 50
"""With fewer, chance alone moves the shares of the bins."""
_DIGITS = 6
"""Values that differ by less are taken for equal: finer is noise of single precision."""


class Distribution(Spec, frozen=True, kw_only=True):
    edges: tuple[float, ...]
    """Between the bins, ascending; a bin holds what is at its lower edge and not what is at its upper one."""
    counts: tuple[int, ...]
    """Samples by bin: one bin more than edges."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.counts) <= MAX_BINS or len(self.counts) != len(self.edges) + 1:
            raise SpecError(
                f"a distribution has 2 to {MAX_BINS} bins, and an edge between any two "
                f"(got {len(self.counts)} bins and {len(self.edges)} edges); pack the bundle again."
            )
        if list(self.edges) != sorted(set(self.edges)) or min(self.counts) < 0 or not sum(self.counts):
            raise SpecError("a distribution has ascending edges, and counts of something; pack the bundle again.")

    def counted(self, values: Iterable[float]) -> list[int]:
        """How many of `values` lie in each bin."""
        counts = [0] * len(self.counts)
        for value in values:
            counts[bisect_right(self.edges, value)] += 1
        return counts


class Reference(Spec, frozen=True, kw_only=True):
    """Of the validation part, or where there is none of the test part: what the model was not trained on."""

    ink: Distribution
    """As `ink_of`."""
    confidence: Distribution
    """The highest probability of an image, calibrated."""


def ink_of(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N,) in [0, 1]: the mean of each image's bytes over 255."""
    bytes_NB = images_NHWC.reshape(len(images_NHWC), -1)
    return np.asarray(bytes_NB.sum(axis=1, dtype=np.uint64) / bytes_NB.shape[1] / 255)


def distribution_of(values_N: NDArray[np.floating]) -> Distribution:
    """Of at least one value. Equal ones are never parted: where many are equal, there are fewer bins."""
    if not len(values_N):
        raise UsageError("a distribution is of at least one value (got none); hold back more for validation.")
    num_bins = min(MAX_BINS, max(2, len(values_N) // _SAMPLES_A_BIN))
    shares = np.arange(1, num_bins) / num_bins
    quantiles = np.quantile(values_N.astype(np.float64).round(_DIGITS), shares, method="higher")
    edges = np.unique(quantiles) - 0.5 * 10.0**-_DIGITS
    counts = np.bincount(np.searchsorted(edges, values_N, side="right"), minlength=len(edges) + 1)
    return Distribution(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))
