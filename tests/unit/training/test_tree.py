"""The canonical tree: its shape, its covers, and that arrival order never changes a bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.data.batches import share
from pileus.training.tree import Node, TreeSum, Vector, cover, split


def reference(node: Node, leaves: list[Vector]) -> Vector:
    """The plain truth: left + right, recursively."""
    if node[1] - node[0] == 1:
        return leaves[node[0]]
    left, right = split(node)
    return reference(left, leaves) + reference(right, leaves)


def random_leaves(count: int, size: int = 7) -> list[Vector]:
    generator = np.random.default_rng(count)
    return [
        (generator.standard_normal(size) * 10.0 ** generator.integers(-3, 4)).astype(np.float32) for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("node", "halves"),
    [((0, 2), ((0, 1), (1, 2))), ((0, 3), ((0, 2), (2, 3))), ((0, 8), ((0, 4), (4, 8))), ((4, 9), ((4, 8), (8, 9)))],
)
def test_a_node_splits_at_the_largest_power_of_two(node: Node, halves: tuple[Node, Node]) -> None:
    assert split(node) == halves


@given(st.integers(1, 70), st.integers(1, 70))
def test_shares_are_contiguous_even_and_never_leave_rank_0_idle(leaves: int, workers: int) -> None:
    shares = [share(rank, workers, leaves) for rank in range(workers)]
    assert shares[0][0] == 0 and shares[-1][1] == leaves
    assert all(one[1] == other[0] for one, other in itertools.pairwise(shares))
    sizes = [high - low for low, high in shares]
    assert max(sizes) - min(sizes) <= 1
    assert sizes[0] >= 1


@given(st.integers(1, 70), st.integers(1, 9))
def test_covers_are_the_share_and_nodes_of_the_tree(leaves: int, workers: int) -> None:
    nodes = {(0, leaves)}
    for node in sorted(nodes):
        stack = [node]
        while stack:
            parent = stack.pop()
            nodes.add(parent)
            if parent[1] - parent[0] > 1:
                stack += split(parent)
    for rank in range(workers):
        held = share(rank, workers, leaves)
        covered = cover(held, leaves)
        assert [leaf for low, high in covered for leaf in range(low, high)] == list(range(*held))
        assert set(covered) <= nodes


@given(st.integers(1, 40), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_bits_of_the_reference(leaves: int, workers: int, random: object) -> None:
    values = random_leaves(leaves)
    total = TreeSum(leaves)
    shares = [share(rank, workers, leaves) for rank in range(workers)]
    for held in shares:
        partial = TreeSum(leaves)
        order = list(range(*held))
        random.shuffle(order)  # type: ignore[attr-defined]
        for leaf in order:
            partial.add((leaf, leaf + 1), values[leaf].copy())
        assert set(partial.sums) == set(cover(held, leaves))
        for node, vector in partial.sums.items():
            total.add(node, vector)
    assert total.sums[0, leaves].tobytes() == reference((0, leaves), values).tobytes()


def test_vectors_that_were_added_are_given_back() -> None:
    released: list[Vector] = []
    total = TreeSum(8, released.append)
    for leaf, vector in enumerate(random_leaves(8)):
        total.add((leaf, leaf + 1), vector)
    assert len(released) == 7
    assert len({id(vector) for vector in released}) == 7
