"""What one step makes of a state and a mean gradient: optimiser, running statistics, average of the weights.

All but the clipping goes element by element: the same bits for any cut of the vector.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from pileus.models.layers import BatchNorm2d
from pileus.spec.run import RunSpec
from pileus.training.checkpoint import Tensors
from pileus.training.layout import Layout, aligned_zeros
from pileus.training.optimizers import Flat, make_optimizer

AVERAGE = "average/"


class Cut:
    """A half-open interval of a state, as far as steps change it: by itself, its parameters and its statistics."""

    def __init__(self, layout: Layout, start: int, stop: int) -> None:
        assert 0 <= start <= stop <= layout.num_summed
        self.start, self.stop = start, stop
        border = min(max(layout.num_trained, start), stop) - start
        self.trained = slice(0, border)
        self.statistics = slice(border, stop - start)

    def __len__(self) -> int:
        return self.stop - self.start


class Update:
    """Steps a state, or a cut of one, in place; holds what the optimiser remembers."""

    def __init__(self, spec: RunSpec, layout: Layout, cut: Cut | None = None) -> None:
        self._layout = layout
        self._cut = Cut(layout, 0, layout.num_summed) if cut is None else cut
        self._optimizer = make_optimizer(spec.optimizer, self._cut.trained.stop)
        self._clip_norm = spec.clip_norm
        self._ema = spec.ema
        self.average = aligned_zeros(len(self._cut)) if spec.ema is not None else None
        """Running average of weights and statistics; None where none is kept."""

    @property
    def slots(self) -> dict[str, Flat]:
        """The optimiser's vectors by name, over the parameters of the cut."""
        return self._optimizer.slots

    def tensors(self) -> Tensors:
        """Views by name of what is remembered; of a whole state alone."""
        assert len(self._cut) == self._layout.num_summed
        named: Tensors = {}
        for slot, flat in self.slots.items():
            named |= self._layout.named_arrays(flat, f"optimizer/{slot}/")
        if self.average is not None:
            named |= self._layout.named_arrays(self.average, AVERAGE)
        return named

    def begin(self, state: Flat) -> None:
        """The average begins where the weights do."""
        if self.average is not None:
            self.average[:] = state[: len(self.average)]

    def apply(self, state: Flat, mean: Flat, lr: float, count: int) -> None:
        """`mean` is [gradient | statistics] over the samples of a step and may be used as scratch; `count` from 1."""
        cut = self._cut
        gradient = mean[cut.trained]
        if self._clip_norm is not None:
            clip(gradient, self._clip_norm)
        self._optimizer.step(state[cut.trained], gradient, lr, count)
        running, latest = state[cut.statistics], mean[cut.statistics]
        latest -= running
        latest *= np.float32(BatchNorm2d.momentum)
        running += latest
        if self.average is not None and self._ema is not None:
            change = np.subtract(state[: len(cut)], self.average, out=mean[: len(cut)])
            change *= np.float32(1 - self._ema)
            self.average += change


@contextlib.contextmanager
def standing_in(average: Flat | None, state: Flat) -> Iterator[None]:
    """For the length of the block `state` holds the average, where one is kept; after it, its own bits again."""
    if average is None:
        yield
        return
    moving = state[: len(average)]
    own = moving.copy()
    moving[:] = average
    try:
        yield
    finally:
        moving[:] = own


def clip(gradient: Flat, largest: float) -> None:
    """Scale a gradient in place whose L2 norm is above `largest` (Pascanu et al., 2013).

    The sum of squares is numpy's pairwise one and no library's: the same bits on any number of threads.
    """
    norm = float(np.sqrt(np.sum(np.square(gradient), dtype=np.float64)))
    if norm > largest:
        gradient *= np.float32(largest / norm)
