"""One worker's copy of the model: sums over its share of the microbatches, agrees with its peers, takes the step."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from pileus.data.batches import share
from pileus.models.registry import build
from pileus.spec.run import RunSpec
from pileus.spec.run import Single as SingleSpec
from pileus.training.checkpoint import Tensors
from pileus.training.exchange.ports import Exchange
from pileus.training.gradient import NUM_TOTALS, Lane, Totals
from pileus.training.layout import Layout, aligned_zeros, gather
from pileus.training.optimizers import make_optimizer
from pileus.training.strategies.all_reduce import AllReduce
from pileus.training.strategies.ports import Strategy
from pileus.training.strategies.single import Single
from pileus.training.tree import TreeSum, Vector

Leaf = Callable[[Lane, int, Vector], None]
"""Computes one microbatch, given by its number, into a vector."""


class Problem(NamedTuple):
    """The shape of what is learnt."""

    shape_HWC: tuple[int, int, int]
    num_classes: int


class Replica:
    """Used by one thread; its lanes are its own."""

    def __init__(self, spec: RunSpec, problem: Problem, exchange: Exchange, num_lanes: int) -> None:
        networks = [build(spec.model, problem.shape_HWC, problem.num_classes, spec.seed) for _ in range(num_lanes)]
        self._exchange = exchange
        self._strategy: Strategy = Single() if isinstance(spec.strategy, SingleSpec) else AllReduce(exchange)
        self.layout = Layout.of(networks[0])
        self.weights = gather(networks[0], self.layout)
        self._optimizer = make_optimizer(spec.optimizer, self.layout.size)
        self._lanes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for network in networks:
            self._lanes.put(Lane(network, self.layout, self.weights, spec.label_smoothing))
        self._free: list[Vector] = []
        self._total = aligned_zeros(self.layout.size + NUM_TOTALS)
        self._pool = ThreadPoolExecutor(num_lanes, "lane", torch.set_num_threads, (1,)) if num_lanes > 1 else None
        self.compute_s = 0.0
        self.exchange_s = 0.0

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def gradient(self, num_leaves: int, leaf: Leaf) -> tuple[Vector, Totals]:
        """The gradient of the mean loss over the batch, and its totals; the vector is valid until the next call."""
        self._sum(num_leaves, leaf, self._total)
        totals = Totals.of(self._total)
        gradient = self._total[: self.layout.size]
        gradient /= np.float32(totals.samples)
        return gradient, totals

    def evaluate(self, num_leaves: int, leaf: Leaf) -> Totals:
        total = aligned_zeros(NUM_TOTALS)
        self._sum(num_leaves, leaf, total)
        return Totals.of(total)

    def step(self, gradient: Vector, lr: float, count: int) -> None:
        self._optimizer.step(self.weights, gradient, lr, count)

    def tensors(self) -> Tensors:
        """Views of the whole state by name."""
        named = self.layout.named_arrays(self.weights, "weights/")
        for slot, flat in self._optimizer.slots.items():
            named |= self.layout.named_arrays(flat, f"optimizer/{slot}/")
        return named

    def restore(self, tensors: Tensors) -> None:
        for name, view in self.tensors().items():
            view[...] = tensors[name]

    def fingerprint(self) -> str:
        return self.layout.fingerprint(self.weights)

    def _sum(self, num_leaves: int, leaf: Leaf, into: Vector) -> None:
        started = time.perf_counter()
        low, high = share(self._exchange.rank, self._exchange.size, num_leaves)
        tree = TreeSum(num_leaves, self._free.append)

        def compute(index: int) -> None:
            vector = self._vector(len(into))
            lane = self._lanes.get()
            try:
                leaf(lane, index, vector)
            finally:
                self._lanes.put(lane)
            tree.add((index, index + 1), vector)

        if self._pool:
            list(self._pool.map(compute, range(low, high)))
        else:
            for index in range(low, high):
                compute(index)
        computed = time.perf_counter()
        self._strategy.agree(tree.sums, num_leaves, into)
        self._free.extend(tree.sums.values())
        self.compute_s += computed - started
        self.exchange_s += time.perf_counter() - computed

    def _vector(self, size: int) -> Vector:
        """A free vector of the size; contents undefined."""
        while self._free:
            vector = self._free.pop()
            if len(vector) == size:
                return vector
        return aligned_zeros(size)
