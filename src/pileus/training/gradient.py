"""The gradient of a microbatch: a pure function of the weights, the samples and (seed, step, microbatch).

Computed by a lane on ONE intra-op thread, so that neither the number of workers nor of cores changes a bit. The loss is
a SUM over samples; it is divided once, by the global count, after the reduction.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pileus.data.batches import Microbatch
from pileus.data.random import stream
from pileus.errors import Diverged
from pileus.models.layers import SeededDropout
from pileus.training.device import HOST, Device
from pileus.training.layout import Layout, adopt, batch_norms
from pileus.training.tree import Vector

_DROPOUT = 3
NUM_TOTALS = 5
"""Behind the gradient and the norm layers' statistics stand the figures of `Totals`."""


class Totals(NamedTuple):
    """Sums over the samples of a step or of an evaluation."""

    loss: float
    correct: float
    samples: float
    stops: float = 0.0
    """Requests to leave after this step."""
    commits: float = 0.0
    """Requests to commit after this step."""

    @classmethod
    def of(cls, vector: Vector) -> Totals:
        return cls(*(float(value) for value in vector[-NUM_TOTALS:]))

    def __add__(self, other: tuple[float, ...]) -> Totals:  # type: ignore[override]  # sums, where tuples are joined
        return Totals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Computes(Protocol):
    """What a leaf of the tree is computed with."""

    def gradient(self, microbatch: Microbatch, seeds: tuple[int, int, int], into: Vector) -> None: ...

    def evaluate(self, microbatch: Microbatch, into: Vector) -> None: ...


class Lane:
    """One network over the shared weights, or over a copy of them on a device; used by one thread at a time."""

    def __init__(
        self,
        network: nn.Module,
        layout: Layout,
        state: NDArray[np.float32],
        label_smoothing: float,
        *,
        bf16: bool = False,
        device: Device = HOST,
    ) -> None:
        """`bf16`: products of matrices, and what is between them, in bfloat16; weights, loss and sums are float32."""
        self._device = device
        self._state = torch.from_numpy(state)
        self._copy = torch.empty_like(self._state, device=device.place) if device.is_apart else None
        """Of the state, which the network reads; None where it reads the state itself."""
        self._given = torch.zeros(layout.num_summed, device=device.place) if device.is_apart else None
        """What a leaf gives, on its way; None where it is written where it shall be."""
        adopt(network.to(device.place), layout, self._state if self._copy is None else self._copy)
        self.network = network
        self._layout = layout
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._between = layout.between_parameters()
        self._norms = [norm for _, norm in batch_norms(network)]
        self._label_smoothing = label_smoothing
        self._bf16 = bf16
        self._dropouts = [module for module in network.modules() if isinstance(module, SeededDropout)]
        for dropout in self._dropouts:
            dropout.generator = torch.Generator(device.place)

    def renew(self) -> None:
        """Have the network read the state as it is now; to be called after each change of it."""
        if self._copy is not None:
            self._copy.copy_(self._state)

    def gradient(self, microbatch: Microbatch, seeds: tuple[int, int, int], into: Vector) -> None:
        """Write the summed gradient, statistics and totals into `into`, (layout.num_summed + NUM_TOTALS,).

        `seeds` is (seed, global step, microbatch). Diverged where the loss or the gradient is not finite.
        """
        loss = self.forward(microbatch, seeds, into)
        self.backward(loss, into)
        gradient = into[: self._layout.num_trained]
        if not (math.isfinite(loss.item()) and math.isfinite(np.dot(gradient, gradient))):
            what = "gradient" if math.isfinite(loss.item()) else "loss"
            raise diverged(what, f"step {seeds[1]}, microbatch {seeds[2]}")

    def forward(
        self, microbatch: Microbatch, seeds: tuple[int, int, int], into: Vector, through: nn.Module | None = None
    ) -> torch.Tensor:
        """The summed loss; statistics and totals are written now. `through` is called for the network that it wraps."""
        self.network.train()
        for index, dropout in enumerate(self._dropouts):
            dropout.generator.manual_seed(stream(_DROPOUT, *seeds, index) >> 1)
        into[self._layout.num_trained :] = 0.0
        logits_NK, loss = self._loss(microbatch, through or self.network)
        self._write_totals(logits_NK, loss, microbatch, into)
        self._write_statistics(len(microbatch.labels_N), into)
        return loss

    def backward(self, loss: torch.Tensor, into: Vector) -> None:
        """Write the gradient of a loss into the first region of `into`.

        Torch makes each gradient anew, and it is moved once: to add it to a zeroed view would move it twice.
        """
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        into[self._between] = 0.0
        views = self._layout.views(self._beside(into), self._layout.parameters)
        for parameter, view in zip(self._parameters, views, strict=True):
            if parameter.grad is None:  # it has no part in the loss
                view.zero_()
            else:
                view.copy_(parameter.grad)
                parameter.grad = None
        self._bring(slice(0, self._layout.num_trained), into)

    def evaluate(self, microbatch: Microbatch, into: Vector) -> None:
        """Write the totals alone into `into`, (NUM_TOTALS,)."""
        self.network.eval()
        with torch.inference_mode():
            logits_NK, loss = self._loss(microbatch, self.network)
            self._write_totals(logits_NK, loss, microbatch, into)

    def _loss(self, microbatch: Microbatch, network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        images_NHWC = self._device.put(microbatch.images_NHWC)
        kind, in_bf16 = self._device.place.type, self._bf16 and self.network.training
        with torch.autocast(kind, torch.bfloat16, in_bf16, cache_enabled=False):
            logits_NK = network(images_NHWC).float()
        smoothing = self._label_smoothing if self.network.training else 0.0
        return logits_NK, _loss_sum(logits_NK, microbatch, smoothing, self._device)

    def _write_statistics(self, num_samples: int, into: Vector) -> None:
        views = iter(self._layout.views(self._beside(into), self._layout.statistics))
        for norm in self._norms:
            torch.mul(norm.batch_mean, num_samples, out=next(views))
            torch.mul(norm.batch_var, num_samples, out=next(views))
        self._bring(slice(self._layout.num_trained, self._layout.num_summed), into)

    def _beside(self, into: Vector) -> torch.Tensor:
        """Where the network's results for `into` are written: there itself, or on the device, to be brought there."""
        return torch.from_numpy(into) if self._given is None else self._given

    def _bring(self, region: slice, into: Vector) -> None:
        """Waits for the device."""
        if self._given is not None:
            torch.from_numpy(into)[region].copy_(self._given[region])

    @staticmethod
    def _write_totals(logits_NK: torch.Tensor, loss: torch.Tensor, microbatch: Microbatch, into: Vector) -> None:
        answers = logits_NK.detach().argmax(dim=1).cpu().numpy()
        correct = np.count_nonzero(answers == _main_labels(microbatch))
        into[-NUM_TOTALS:] = Totals(loss.item(), float(correct), len(answers))


def diverged(what: str, place: str) -> Diverged:
    return Diverged(
        f"the {what} is not finite at {place}; the last checkpoint is kept: "
        "lower optimizer.lr, raise warmup_epochs or set clip_norm."
    )


def _loss_sum(logits_NK: torch.Tensor, microbatch: Microbatch, smoothing: float, device: Device) -> torch.Tensor:
    labels_N, pairs = device.put(microbatch.labels_N), microbatch.pairs
    if pairs is None:
        return functional.cross_entropy(logits_NK, labels_N, reduction="sum", label_smoothing=smoothing)
    partners_N, weights_N = device.put(pairs.partner_labels_N), device.put(pairs.weights_N)
    own_N = functional.cross_entropy(logits_NK, labels_N, reduction="none", label_smoothing=smoothing)
    others_N = functional.cross_entropy(logits_NK, partners_N, reduction="none", label_smoothing=smoothing)
    return (weights_N * own_N + (1 - weights_N) * others_N).sum()


def _main_labels(microbatch: Microbatch) -> NDArray[np.int64]:
    """(N,) the label that weighs more, which is what an answer is compared with."""
    if microbatch.pairs is None:
        return microbatch.labels_N
    own_N = microbatch.pairs.weights_N >= 0.5
    return np.where(own_N, microbatch.labels_N, microbatch.pairs.partner_labels_N)
