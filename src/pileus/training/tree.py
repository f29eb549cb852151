"""The canonical binary tree: in which order gradients are added, whoever holds them.

Over n leaves, numbered in microbatch order, a node is a half-open interval [low, high). It splits at `low` plus the
largest power of two that is smaller than its length; its sum is left + right. A worker that holds all leaves of a node
may send the node's sum in place of the leaves: the bits are the same.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Node = tuple[int, int]
Vector = NDArray[np.float32]


def split(node: Node) -> tuple[Node, Node]:
    low, high = node
    middle = low + (1 << ((high - low - 1).bit_length() - 1))
    return (low, middle), (middle, high)


@functools.lru_cache(maxsize=4096)
def cover(held: Node, num_leaves: int) -> tuple[Node, ...]:
    """The largest nodes of the tree over [0, num_leaves) that lie inside `held`, in order; together they are `held`."""

    def below(node: Node) -> Iterable[Node]:
        if held[0] <= node[0] and node[1] <= held[1]:
            yield node
        elif node[0] < held[1] and held[0] < node[1]:
            left, right = split(node)
            yield from below(left)
            yield from below(right)

    return tuple(below((0, num_leaves))) if held[0] < held[1] else ()


@functools.lru_cache(maxsize=1024)
def _parents(num_leaves: int) -> dict[Node, tuple[Node, Node, Node]]:
    """From each node below the root to (parent, its left child, its right child)."""
    parents: dict[Node, tuple[Node, Node, Node]] = {}
    open_nodes = [(0, num_leaves)]
    while open_nodes:
        node = open_nodes.pop()
        if node[1] - node[0] > 1:
            left, right = split(node)
            parents[left] = parents[right] = (node, left, right)
            open_nodes += [left, right]
    return parents


class TreeSum:
    """Adds vectors along the tree as they come, in any order of arrival and from any thread.

    `release` is given each vector that has been added into its left sibling and is free again.
    """

    def __init__(self, num_leaves: int, release: Callable[[Vector], None] = lambda _: None) -> None:
        self._parents = _parents(num_leaves)
        self._release = release
        self._sums: dict[Node, Vector] = {}
        self._lock = threading.Lock()

    def add(self, node: Node, vector: Vector) -> None:
        """Takes the vector over; it may be written to."""
        while True:
            with self._lock:
                family = self._parents.get(node)
                if family is None:
                    self._sums[node] = vector
                    return
                parent, left, right = family
                sibling = right if node == left else left
                other = self._sums.pop(sibling, None)
                if other is None:
                    self._sums[node] = vector
                    return
            first, second = (vector, other) if node == left else (other, vector)
            np.add(first, second, out=first)
            self._release(second)
            node, vector = parent, first

    @property
    def sums(self) -> dict[Node, Vector]:
        """The nodes whose siblings have not come, by interval."""
        return self._sums
