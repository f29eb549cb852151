from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from pileus.errors import UsageError
from pileus.measure.paired import Paired, compare_paired


def paired(won: int, lost: int) -> Paired:
    return Paired(samples=1000, errors_before=won + 5, errors_after=lost + 5, won=won, lost=lost)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (5, 0), (4, 0), (10, 3), (3, 10), (400, 380)])
def test_the_chance_is_that_of_the_exact_binomial_test(won: int, lost: int) -> None:
    num = won + lost
    expected = float(Fraction(sum(math.comb(num, k) for k in range(won, num + 1)), 2**num))
    assert paired(won, lost).p_better == pytest.approx(expected, rel=1e-9)


def test_of_many_samples_the_chance_is_that_of_the_normal_distribution() -> None:
    expected = 1 - NormalDist().cdf((50 - 0.5) / math.sqrt(59_900 / 4))
    assert paired(30_000, 29_900).p_better == pytest.approx(expected, rel=1e-3)


def test_wins_and_losses_are_of_the_same_samples() -> None:
    before, after = np.array([True, True, False, False, False]), np.array([True, False, True, True, False])
    found = compare_paired(before, after)
    assert (found.samples, found.errors_before, found.errors_after, found.won, found.lost) == (5, 3, 2, 2, 1)
    with pytest.raises(UsageError, match="the same samples"):
        compare_paired(before, after[:3])
