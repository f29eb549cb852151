from __future__ import annotations

import numpy as np
import pytest

from pileus.bundles.reference import MAX_BINS, Distribution, distribution_of, ink_of
from pileus.errors import SpecError, UsageError


def test_each_bin_holds_about_as_much() -> None:
    values_N = np.random.default_rng(1).gamma(2.0, 1.0, 5000)
    distribution = distribution_of(values_N)
    assert distribution.counts == (500,) * MAX_BINS
    assert distribution.counted(values_N.tolist()) == [500] * MAX_BINS


@pytest.mark.parametrize(("num_values", "num_bins"), [(1, 2), (50, 2), (180, 3), (499, 9), (5000, 10)])
def test_few_values_make_few_bins(num_values: int, num_bins: int) -> None:
    distribution = distribution_of(np.arange(num_values) / num_values)
    assert len(distribution.counts) == num_bins
    assert sum(distribution.counts) == num_values


@pytest.mark.parametrize(("num_ones", "counts"), [(1000, (0, 1000)), (950, (50, 950))])
def test_equal_values_stay_together_and_apart_from_the_rest(num_ones: int, counts: tuple[int, int]) -> None:
    """As confidences do, of which most may be 1."""
    values_N = np.concatenate([np.linspace(0.2, 0.9, 1000 - num_ones), np.ones(num_ones)]).astype(np.float32)
    distribution = distribution_of(values_N)
    assert distribution.counts == counts
    assert distribution.counted([0.9, float(np.nextafter(np.float32(1), np.float32(0))), 1.0]) == [1, 2]


def test_bins_are_half_open() -> None:
    distribution = Distribution(edges=(0.25, 0.5), counts=(1, 1, 1))
    assert distribution.counted([-1.0, 0.2499, 0.25, 0.4999, 0.5, 9.0]) == [2, 2, 2]


def test_ink() -> None:
    images_NHWC = np.zeros((2, 2, 2, 3), np.uint8)
    images_NHWC[1, 0] = 255
    assert ink_of(images_NHWC).tolist() == [0.0, 0.5]


def test_nothing_has_no_distribution() -> None:
    with pytest.raises(UsageError, match="at least one value"):
        distribution_of(np.empty(0))


@pytest.mark.parametrize(
    ("edges", "counts"),
    [((), (3,)), ((0.5,), (1, 1, 1)), ((0.5, 0.5), (1, 1, 1)), ((0.5, 0.2), (1, 1, 1)), ((0.5,), (-1, 2))],
)
def test_impossible_distributions_are_refused(edges: tuple[float, ...], counts: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="pack the bundle again"):
        Distribution(edges=edges, counts=counts)
    with pytest.raises(SpecError, match="pack the bundle again"):
        Distribution(edges=tuple(range(10)), counts=(1,) * 11)
