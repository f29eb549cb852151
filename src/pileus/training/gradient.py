"""The gradient of a microbatch: a pure function of the weights, the samples and (seed, step, microbatch).

Computed by a lane on ONE intra-op thread, so that neither the number of workers nor of cores changes a bit. The loss is
a SUM over samples; it is divided once, by the global count, after the reduction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pileus.data.batches import Microbatch
from pileus.data.random import stream
from pileus.models.layers import SeededDropout
from pileus.training.layout import Layout, adopt
from pileus.training.tree import Vector

_DROPOUT = 3
NUM_TOTALS = 4
"""Behind the gradient stand loss sum, correct answers, samples, and requests to stop."""


class Totals(NamedTuple):
    """Sums over the samples of a step or of an evaluation."""

    loss: float
    correct: float
    samples: float
    stops: float

    @classmethod
    def of(cls, vector: Vector) -> Totals:
        return cls(*(float(value) for value in vector[-NUM_TOTALS:]))


class Lane:
    """One network over the shared weights; used by one thread at a time."""

    def __init__(
        self, network: nn.Module, layout: Layout, weights: NDArray[np.float32], label_smoothing: float
    ) -> None:
        adopt(network, layout, weights)
        self._network = network
        self._layout = layout
        self._parameters = list(network.parameters())
        self._label_smoothing = label_smoothing
        self._dropouts = [module for module in network.modules() if isinstance(module, SeededDropout)]

    def gradient(self, microbatch: Microbatch, seeds: tuple[int, int, int], into: Vector) -> None:
        """Write the summed gradient and the totals into `into`, (layout.size + NUM_TOTALS,).

        `seeds` is (seed, global step, microbatch).
        """
        self._network.train()
        for index, dropout in enumerate(self._dropouts):
            dropout.generator.manual_seed(stream(_DROPOUT, *seeds, index) >> 1)
        into[:] = 0.0
        for parameter, view in zip(self._parameters, self._layout.views(torch.from_numpy(into)), strict=True):
            parameter.grad = view
        logits_NK, loss = self._loss(microbatch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._write_totals(logits_NK, loss, microbatch, into)

    def evaluate(self, microbatch: Microbatch, into: Vector) -> None:
        """Write the totals alone into `into`, (NUM_TOTALS,)."""
        self._network.eval()
        with torch.inference_mode():
            logits_NK, loss = self._loss(microbatch)
            self._write_totals(logits_NK, loss, microbatch, into)

    def _loss(self, microbatch: Microbatch) -> tuple[torch.Tensor, torch.Tensor]:
        logits_NK = self._network(torch.from_numpy(microbatch.images_NHWC))
        smoothing = self._label_smoothing if self._network.training else 0.0
        return logits_NK, _loss_sum(logits_NK, microbatch, smoothing)

    @staticmethod
    def _write_totals(logits_NK: torch.Tensor, loss: torch.Tensor, microbatch: Microbatch, into: Vector) -> None:
        answers = logits_NK.detach().argmax(dim=1).numpy()
        correct = np.count_nonzero(answers == _main_labels(microbatch))
        into[-NUM_TOTALS:] = (loss.item(), correct, len(answers), 0.0)


def _loss_sum(logits_NK: torch.Tensor, microbatch: Microbatch, smoothing: float) -> torch.Tensor:
    labels_N, pairs = torch.from_numpy(microbatch.labels_N), microbatch.pairs
    if pairs is None:
        return functional.cross_entropy(logits_NK, labels_N, reduction="sum", label_smoothing=smoothing)
    partners_N, weights_N = torch.from_numpy(pairs.partner_labels_N), torch.from_numpy(pairs.weights_N)
    own_N = functional.cross_entropy(logits_NK, labels_N, reduction="none", label_smoothing=smoothing)
    others_N = functional.cross_entropy(logits_NK, partners_N, reduction="none", label_smoothing=smoothing)
    return (weights_N * own_N + (1 - weights_N) * others_N).sum()


def _main_labels(microbatch: Microbatch) -> NDArray[np.int64]:
    """(N,) the label that weighs more, which is what an answer is compared with."""
    if microbatch.pairs is None:
        return microbatch.labels_N
    own_N = microbatch.pairs.weights_N >= 0.5
    return np.where(own_N, microbatch.labels_N, microbatch.pairs.partner_labels_N)
