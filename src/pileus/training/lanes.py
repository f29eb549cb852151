"""One worker's lanes: threads that compute microbatches side by side over one state, and add them along the tree."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.device import HOST, Device
from pileus.training.gradient import Computes, Lane
from pileus.training.layout import Layout, gather
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


class Lanes:
    """Used by one thread. The networks are views of `state`, or of copies of it on a device."""

    def __init__(self, spec: RunSpec, problem: Problem, num_lanes: int, device: Device = HOST) -> None:
        networks = [first_network(spec, problem) for _ in range(num_lanes)]
        self._device = device
        self.layout = Layout.of(networks[0])
        self.state = device.vector(self.layout.size)
        self.state[:] = gather(networks[0], self.layout)
        bf16 = spec.precision == "bf16"
        self.all = [
            Lane(network, self.layout, self.state, spec.label_smoothing, bf16=bf16, device=device)
            for network in networks
        ]
        self._idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for lane in self.all:
            self._idle.put(lane)
        self._free: list[Vector] = []
        self._pool = ThreadPoolExecutor(num_lanes, "lane", torch.set_num_threads, (1,)) if num_lanes > 1 else None
        self.seconds = Seconds()

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def sums(self, held: Node, num_leaves: int, leaf: Leaf, size: int) -> dict[Node, Vector]:
        """Partial sums of the leaves `held`, of `num_leaves`, in vectors of `size`; hand them to `free` after use."""
        started = time.perf_counter()
        for lane in self.all:
            lane.renew()
        tree = TreeSum(num_leaves, self._free.append)

        def compute(index: int) -> None:
            vector = self.vector(size)
            lane = self._idle.get()
            try:
                leaf(lane, index, vector)
            finally:
                self._idle.put(lane)
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
        return self._device.vector(size)

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
