"""Numbers from Beta(alpha, alpha), the same bits on every machine.

Library powers, logarithms and exponentials differ in their last bits between processors and versions. These use
additions, multiplications and divisions alone, and the exact splitting of a number into fraction and exponent; they are
right to within a few units in the last place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRIES = 16
"""Pairs of draws a sample; all are refused with a probability of at most 2**-16, and then the first pair is taken."""
_LN_2 = 0.6931471805599453


def symmetric_beta(draws: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """(N,) in [0, 1] from (N, 2 x TRIES) in [0, 1); alpha in [0.1, 1]. Jöhnk's method (Metrika 8, 1964)."""
    powers = exponential(logarithm(1 - draws) / alpha)
    ones, others = powers[:, :TRIES], powers[:, TRIES:]
    sums = ones + others
    rows, accepted = np.arange(len(draws)), np.argmax(sums <= 1, axis=1)
    return np.asarray(ones[rows, accepted] / sums[rows, accepted], np.float64)


def logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural, of numbers in (0, 1]: the series of 2 artanh for a fraction in [0.7, 1.4), and log 2 times the rest."""
    fractions, exponents = np.frexp(values)
    small = fractions < 0.7
    fractions = np.where(small, 2 * fractions, fractions)
    ratio = (fractions - 1) / (fractions + 1)
    square = ratio * ratio
    total = np.zeros_like(values)
    for odd in range(25, 0, -2):
        total = total * square + 1 / odd
    return np.asarray(2 * ratio * total + (exponents - small) * _LN_2, np.float64)


def exponential(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of numbers in [-400, 0], by Taylor's series about the nearest multiple of log 2."""
    exponents = np.rint(values / _LN_2)
    rest = values - exponents * _LN_2
    total = np.ones_like(values)
    for divisor in range(15, 0, -1):
        total = total * rest / divisor + 1
    return np.ldexp(total, exponents.astype(np.int32))
