"""A batch of any size is summed in bounded memory: gradients are accumulated along the tree as they come."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pileus.spec.resolve import resolve
from pileus.training import device as device_module
from pileus.training.gradient import Computes
from pileus.training.lanes import Lanes
from pileus.training.layout import aligned_zeros
from pileus.training.network import Problem
from pileus.training.tree import Vector

SPEC = resolve({"model": "digits_cnn", "data": {"source": "x"}})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all vectors that lanes make."""
    sizes: list[int] = []
    lock = threading.Lock()

    def counted(size: int) -> Vector:
        with lock:
            sizes.append(size)
        return aligned_zeros(size)

    monkeypatch.setattr(device_module, "aligned_zeros", counted)
    return sizes


@pytest.mark.parametrize("num_leaves", [1, 2, 37, 256, 1000])
def test_one_lane_has_a_vector_for_each_level_of_the_tree_at_most(num_leaves: int, made: list[int]) -> None:
    def leaf(lane: Computes, index: int, into: Vector) -> None:
        into[:] = index

    lanes = Lanes(SPEC, Problem((8, 8, 1), 10), 1)
    made.clear()
    for _ in range(2):
        sums = lanes.sums((0, num_leaves), num_leaves, leaf, 8)
        np.testing.assert_array_equal(sums[0, num_leaves], num_leaves * (num_leaves - 1) / 2)
        lanes.free(sums)
    assert len(made) <= 1 + (num_leaves - 1).bit_length()


@pytest.mark.parametrize(("num_lanes", "num_leaves"), [(2, 37), (2, 256), (4, 1000)])
def test_a_lane_that_hangs_behind_costs_its_own_levels_alone(num_lanes: int, num_leaves: int, made: list[int]) -> None:
    """The worst order: the first microbatch comes last, and all the others wait for it."""
    others_done = threading.Event()
    left = set(range(1, num_leaves))

    def leaf(lane: Computes, index: int, into: Vector) -> None:
        into[:] = index
        if index == 0:
            assert others_done.wait(30)
            return
        left.discard(index)
        if not left:
            others_done.set()

    lanes = Lanes(SPEC, Problem((8, 8, 1), 10), num_lanes)
    made.clear()
    try:
        sums = lanes.sums((0, num_leaves), num_leaves, leaf, 8)
    finally:
        lanes.close()
    np.testing.assert_array_equal(sums[0, num_leaves], num_leaves * (num_leaves - 1) / 2)
    assert len(made) <= num_lanes * (1 + (num_leaves - 1).bit_length())
