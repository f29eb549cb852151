"""One worker's lanes: threads that compute microbatches side by side over one state, and add them along the tree."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.gradient import Computes, Lane
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.network import Problem, first_network
from pileus.training.tree import Node, TreeSum, Vector

WEIGHTS = "weights/"
"""Before the names of a network's tensors in a checkpoint; of the running average they stand behind another word."""
Leaf = Callable[[Computes, int, Vector], None]
"""Computes one microbatch, given by its number, into a vector."""


@dataclass
class Seconds:
    """What steps took, added up; whoever reads it begins a new one."""

    compute: float = 0.0
    """In gradients."""
    exchange: float = 0.0
    """In sending and waiting."""
    optimizer: float = 0.0


def lane_of(spec: RunSpec, network: nn.Module, layout: Layout, state: Vector) -> Lane:
    return Lane(network, layout, state, spec.label_smoothing, bf16=spec.precision == "bf16")


class Lanes:
    """Used by one thread. The networks are views of `state`."""

    def __init__(self, spec: RunSpec, problem: Problem, num_lanes: int) -> None:
        networks = [first_network(spec, problem) for _ in range(num_lanes)]
        self.layout = Layout.of(networks[0])
        self.state = gather(networks[0], self.layout)
        self._lanes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for network in networks:
            self._lanes.put(lane_of(spec, network, self.layout, self.state))
        self.networks = networks
        self._free: list[Vector] = []
        self._pool = ThreadPoolExecutor(num_lanes, "lane", torch.set_num_threads, (1,)) if num_lanes > 1 else None
        self.seconds = Seconds()

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def sums(self, held: Node, num_leaves: int, leaf: Leaf, size: int) -> dict[Node, Vector]:
        """Partial sums of the leaves `held`, of `num_leaves`, in vectors of `size`; hand them to `free` after use."""
        started = time.perf_counter()
        tree = TreeSum(num_leaves, self._free.append)

        def compute(index: int) -> None:
            vector = self.vector(size)
            lane = self._lanes.get()
            try:
                leaf(lane, index, vector)
            finally:
                self._lanes.put(lane)
            tree.add((index, index + 1), vector)

        if self._pool:
            list(self._pool.map(compute, range(*held)))
        else:
            for index in range(*held):
                compute(index)
        self.seconds.compute += time.perf_counter() - started
        return tree.sums

    def vector(self, size: int) -> Vector:
        """A free vector of the size; contents undefined."""
        while self._free:
            vector = self._free.pop()
            if len(vector) == size:
                return vector
        return aligned_zeros(size)

    def free(self, vectors: dict[Node, Vector]) -> None:
        self._free.extend(vectors.values())

    def tensors(self) -> Tensors:
        """Views of the state by name."""
        return self.layout.named_arrays(self.state, WEIGHTS)

    def fingerprint(self) -> str:
        return self.layout.fingerprint(self.state)


def restore(views: Tensors, tensors: Tensors, *, all_of_them: bool = True) -> None:
    """Write into `views` what a checkpoint holds under the same names."""
    for name, view in views.items():
        if all_of_them or name in tensors:
            view[...] = tensors[name]
