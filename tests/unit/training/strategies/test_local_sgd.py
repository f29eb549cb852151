"""Shares in proportion to speed: every microbatch once, and rank 0 never without one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pileus.training.strategies.local_sgd import weighted_share

RATES = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=9)


@given(RATES, st.integers(1, 64))
def test_shares_are_a_partition(rates: list[float], num_leaves: int) -> None:
    shares = [weighted_share(rank, np.asarray(rates), num_leaves) for rank in range(len(rates))]
    taken = [leaf for low, high in shares for leaf in range(low, high)]
    assert taken == list(range(num_leaves))
    assert shares[0][1] > 0


def test_who_is_twice_as_fast_gets_twice_as_many() -> None:
    assert [weighted_share(rank, np.asarray([1.0, 2.0, 1.0]), 8) for rank in range(3)] == [(0, 2), (2, 6), (6, 8)]
