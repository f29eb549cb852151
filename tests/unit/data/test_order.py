"""The order of samples: every sample once, pinned for ever."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.data import order
from pileus.data.order import permutation
from pileus.data.random import mix, stream

GOLDEN = [
    [6, 8, 2, 4, 3, 9, 7, 5, 1, 0],
    [3, 5, 4, 7, 2, 9, 0, 1, 6, 8],
    [8, 0, 2, 7, 5, 1, 3, 9, 6, 4],
]


@given(st.integers(0, 2**62), st.integers(0, 10_000), st.integers(0, 300))
def test_every_epoch_is_a_permutation(seed: int, epoch: int, size: int) -> None:
    assert sorted(permutation(seed, epoch, size).tolist()) == list(range(size))


def test_the_golden_order() -> None:
    """Pinned: a run that is resumed by a later version must see the same samples in the same order."""
    assert permutation(0, 0, 10).tolist() == GOLDEN[0]
    assert permutation(0, 1, 10).tolist() == GOLDEN[1]
    assert permutation(7, 0, 10).tolist() == GOLDEN[2]


def test_it_is_the_order_of_the_random_keys_also_where_they_agree_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each key had six bits that are not replaced by the position: many tie there, and few in all 64."""

    def few(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return mix(values) >> np.uint64(58) << np.uint64(58) | mix(values) % np.uint64(7)

    monkeypatch.setattr(order, "mix", few)
    for size in (1, 2, 100, 3000):
        positions = np.arange(size, dtype=np.uint64)
        keys = few(positions + np.uint64(stream(1, 5, 2)))
        assert permutation(5, 2, size).tolist() == np.argsort(keys, kind="stable").tolist()


def test_a_million_samples_take_less_than_20_megabytes() -> None:
    permutation(0, 0, 10)
    tracemalloc.start()
    try:
        permutation(3, 1, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_epochs_and_seeds_differ_and_no_position_is_favoured() -> None:
    orders = np.stack([permutation(1, epoch, 20) for epoch in range(4000)])
    assert len({order.tobytes() for order in orders}) == 4000
    counts = np.stack([np.bincount(orders[:, place], minlength=20) for place in range(20)])
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 500  # 361 degrees of freedom: one in a million is above 498
