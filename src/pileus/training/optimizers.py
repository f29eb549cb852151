"""Optimiser steps on the flat vector, element by element: the same bits for any cut of the vector.

The rules are those of torch.optim, against which they are tested.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pileus.spec.optimizer import Adam, AdamW, Optimizer, Sgd
from pileus.training.layout import aligned_zeros

Flat = NDArray[np.float32]


class OptimizerStep(Protocol):
    """Holds the optimiser's state as named flat vectors."""

    @property
    def slots(self) -> dict[str, Flat]:
        """State by name, to be saved and restored in place."""
        ...

    def step(self, weights: Flat, gradient: Flat, lr: float, count: int) -> None:
        """Change `weights` in place; `gradient` may be used as scratch. `count` is this step's number, from 1."""
        ...


def make_optimizer(spec: Optimizer, size: int) -> OptimizerStep:
    if isinstance(spec, Sgd):
        return _SgdStep(spec, size)
    return _AdamStep(spec, size)


class _SgdStep:
    """Sutskever et al., 2013, in the form of torch.optim.SGD (the first step's velocity is the gradient)."""

    def __init__(self, spec: Sgd, size: int) -> None:
        self._spec = spec
        self._scratch = aligned_zeros(size)
        self.slots: dict[str, Flat] = {"velocity": aligned_zeros(size)} if spec.momentum else {}

    def step(self, weights: Flat, gradient: Flat, lr: float, count: int) -> None:
        spec, scratch = self._spec, self._scratch
        if spec.weight_decay:
            np.multiply(weights, np.float32(spec.weight_decay), out=scratch)
            gradient += scratch
        change = gradient
        if spec.momentum:
            velocity = self.slots["velocity"]
            velocity *= np.float32(spec.momentum)
            velocity += gradient
            change = velocity
            if spec.nesterov:
                np.multiply(velocity, np.float32(spec.momentum), out=scratch)
                gradient += scratch
                change = gradient
        np.multiply(change, np.float32(lr), out=scratch)
        weights -= scratch


class _AdamStep:
    """Kingma and Ba, 2015; with decoupled decay Loshchilov and Hutter, 2019."""

    def __init__(self, spec: Adam | AdamW, size: int) -> None:
        self._spec = spec
        self._scratch = aligned_zeros(size)
        self.slots: dict[str, Flat] = {"mean": aligned_zeros(size), "square": aligned_zeros(size)}

    def step(self, weights: Flat, gradient: Flat, lr: float, count: int) -> None:
        spec, scratch = self._spec, self._scratch
        mean, square = self.slots["mean"], self.slots["square"]
        if isinstance(spec, AdamW):
            weights *= np.float32(1 - lr * spec.weight_decay)
        elif spec.weight_decay:
            np.multiply(weights, np.float32(spec.weight_decay), out=scratch)
            gradient += scratch
        mean *= np.float32(spec.beta1)
        np.multiply(gradient, np.float32(1 - spec.beta1), out=scratch)
        mean += scratch
        square *= np.float32(spec.beta2)
        np.multiply(gradient, gradient, out=scratch)
        scratch *= np.float32(1 - spec.beta2)
        square += scratch
        np.sqrt(square, out=scratch)
        scratch *= np.float32(1 / (1 - spec.beta2**count) ** 0.5)
        scratch += np.float32(spec.eps)
        np.divide(mean, scratch, out=scratch)
        scratch *= np.float32(lr / (1 - spec.beta1**count))
        weights -= scratch
