"""Against the plain reference, at the edges of tiles, blocks and groups."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.errors import UsageError
from pileus.models.neighbours.products import Multiply, by_float32, fastest_exact
from pileus.models.neighbours.search import MOST_VALUES, Nearest, Shard, merge
from pileus.spec.neighbours import MOST_K
from reference import knn


def pixels(rows: int, values: int, most: int = 255, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, most, (rows, values), np.uint8, endpoint=True)


def assert_same(found: Nearest, images_MD: NDArray[np.uint8], queries_ND: NDArray[np.uint8], k: int) -> None:
    distances_NK, indices_NK = knn.nearest(images_MD, queries_ND, k)
    np.testing.assert_array_equal(found.distances_NK, distances_NK)
    np.testing.assert_array_equal(found.indices_NK, indices_NK)


@pytest.mark.parametrize("multiply", [by_float32, fastest_exact()])
@pytest.mark.parametrize(
    ("images", "queries", "values", "most", "k"),
    [
        (1, 1, 1, 255, 1),
        (63, 7, 5, 255, 10),
        (64, 3, 1, 1, 5),  # hardly any two distances differ
        (2049, 40, 16, 3, 5),
        (4500, 30, 8, 255, MOST_K),
        (300, 513, 9, 16, 3),
    ],
)
def test_the_neighbours_are_the_reference_s(
    multiply: Multiply, images: int, queries: int, values: int, most: int, k: int
) -> None:
    images_MD, queries_ND = pixels(images, values, most), pixels(queries, values, most, seed=1)
    assert_same(Shard(images_MD, threads=2, multiply=multiply).nearest(queries_ND, k), images_MD, queries_ND, k)


def test_of_equal_images_the_first_ones_are_nearest() -> None:
    images_MD = np.full((5000, 4), 9, np.uint8)
    found = Shard(images_MD).nearest(np.array([[9, 9, 9, 9], [0, 9, 9, 255]], np.uint8), 6)
    assert found.indices_NK.tolist() == [list(range(6))] * 2
    assert found.distances_NK.tolist() == [[0] * 6, [81 + 246**2] * 6]


def test_a_value_that_is_the_same_in_all_images_still_counts() -> None:
    images_MD = pixels(200, 6)
    images_MD[:, [0, 4]] = 0, 255
    queries_ND = pixels(20, 6, seed=1)
    assert_same(Shard(images_MD).nearest(queries_ND, 4), images_MD, queries_ND, 4)


def test_the_greatest_distances_do_not_overflow() -> None:
    images_MD = np.zeros((3, MOST_VALUES), np.uint8)
    images_MD[1] = 255
    images_MD[2, ::2] = 255
    queries_ND = np.stack([np.zeros(MOST_VALUES, np.uint8), np.full(MOST_VALUES, 255, np.uint8)])
    assert_same(Shard(images_MD).nearest(queries_ND, 3), images_MD, queries_ND, 3)


@pytest.mark.parametrize("cuts", [[1], [700], [3, 4, 900], [100, 200, 300, 400]])
def test_shards_merge_to_the_whole(cuts: list[int]) -> None:
    images_MD, queries_ND = pixels(1000, 6, 4), pixels(50, 6, 4, seed=1)
    edges = [0, *cuts, len(images_MD)]
    parts = [Shard(images_MD[low:high], first=low).nearest(queries_ND, 7) for low, high in itertools.pairwise(edges)]
    assert_same(merge(parts, 7), images_MD, queries_ND, 7)


def test_threads_change_nothing() -> None:
    images_MD, queries_ND = pixels(3000, 12, 3), pixels(600, 12, 3, seed=1)
    one, three = (Shard(images_MD, threads=threads).nearest(queries_ND, 9) for threads in (1, 3))
    np.testing.assert_array_equal(one.indices_NK, three.indices_NK)


def test_no_query_has_no_neighbour() -> None:
    assert Shard(pixels(9, 4)).nearest(pixels(0, 4), 3).indices_NK.shape == (0, 3)


def test_what_cannot_be_searched_is_told() -> None:
    with pytest.raises(UsageError, match="rows of a uint8 array"):
        Shard(np.zeros((0, 4), np.uint8))
    with pytest.raises(UsageError, match="at most 33,025 values"):
        Shard(np.zeros((2, MOST_VALUES + 1), np.uint8))
    shard = Shard(pixels(9, 4))
    with pytest.raises(UsageError, match="uint8 rows of 4 values"):
        shard.nearest(pixels(2, 5), 3)
    for k in (0, MOST_K + 1):
        with pytest.raises(UsageError, match="k must be in"):
            shard.nearest(pixels(2, 4), k)
