"""Beta(alpha, alpha) and the elementary functions beneath it, against the mathematical library."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pileus.data.transforms.beta import TRIES, exponential, logarithm, symmetric_beta
from pileus.data.transforms.draws import Family
from reference import transforms as plain
from tests.unit.data.transforms.pictures import draws

MANY = 20_000


def chances(count: int = MANY) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return draws(count).of(Family.MIX, 2 * TRIES)


def test_the_logarithm() -> None:
    values = np.concatenate([1 - chances(2000).ravel(), [1.0, 0.5, np.nextafter(1, 0), 2.0**-53]])
    np.testing.assert_allclose(logarithm(values), np.log(values), rtol=1e-14, atol=0)


def test_the_exponential() -> None:
    values = np.concatenate([-400 * chances(2000).ravel(), [0.0, -400.0, -1e-300]])
    np.testing.assert_allclose(exponential(values), np.exp(values), rtol=1e-13, atol=0)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 0.8, 1.0])
def test_moments_and_symmetry(alpha: float) -> None:
    values = symmetric_beta(chances(), alpha)
    assert ((values >= 0) & (values <= 1)).all()
    assert values.mean() == pytest.approx(0.5, abs=0.015)
    assert values.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    assert ((values - 0.5) ** 4).mean() == pytest.approx(fourth, rel=0.03)


def test_it_equals_the_plain_reference() -> None:
    few = chances(500)
    for alpha in (0.1, 0.3, 1.0):
        wanted = [plain.symmetric_beta(row.tolist(), alpha) for row in few]
        np.testing.assert_allclose(symmetric_beta(few, alpha), wanted, rtol=1e-11, atol=1e-300)


def test_where_every_pair_is_refused_the_first_is_taken() -> None:
    tiny = np.full((1, 2 * TRIES), 0.25)
    tiny[0, 0] = 0.0
    assert symmetric_beta(tiny, 1.0)[0] == pytest.approx(1 / 1.75)


def test_the_golden_bits() -> None:
    """Pinned: the same on every machine and version, or runs could not be resumed elsewhere."""
    content = b"".join(symmetric_beta(chances(1000), alpha).tobytes() for alpha in (0.1, 0.2, 1.0))
    assert hashlib.sha256(content).hexdigest()[:16] == "764e78abee2ee059"
