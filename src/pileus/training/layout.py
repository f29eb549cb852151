"""All of a network's tensors in one vector, so that a gradient is one array to add, send and step with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pileus.models.layers import BatchNorm2d

_ALIGN = 16
"""Floats: each parameter starts on a 64-byte line, so that kernels take the same path on every worker."""


class Slot(NamedTuple):
    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Layout:
    """Where each tensor of a network lies in one flat float32 vector, its state:

        [ trained parameters | running statistics | what stays as it is ]

    A microbatch's vector has the first two of these regions. Sizes count the padding too.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, tuple[int, ...]]],
        statistics: Iterable[tuple[str, tuple[int, ...]]] = (),
        fixed: Iterable[tuple[str, tuple[int, ...]]] = (),
    ) -> None:
        self.parameters, self.num_trained = _slots(parameters, 0)
        self.statistics, self.num_summed = _slots(statistics, self.num_trained)
        self.fixed, self.size = _slots(fixed, self.num_summed)

    @classmethod
    def of(cls, network: nn.Module) -> Layout:
        return cls(
            *(
                [(name, tuple(tensor.shape)) for name, tensor in region]
                for region in (_trained(network), _statistics(network), _fixed(network))
            )
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.parameters + self.statistics + self.fixed

    def between_parameters(self) -> NDArray[np.intp]:
        """Where the padding lies in the first region."""
        starts = [*(slot.start for slot in self.parameters[1:]), self.num_trained]
        return np.concatenate(
            [np.arange(slot.stop, start) for slot, start in zip(self.parameters, starts, strict=True)]
        )

    def views(self, flat: Tensor, slots: Iterable[Slot]) -> list[Tensor]:
        return [flat[slot.start : slot.stop].view(slot.shape) for slot in slots]

    def named_arrays(self, flat: NDArray[np.float32], prefix: str = "") -> dict[str, NDArray[np.float32]]:
        """Views of a flat array by name, as a checkpoint holds them; a shorter array has the first regions alone."""
        return {
            prefix + slot.name: flat[slot.start : slot.stop].reshape(slot.shape)
            for slot in self.slots
            if slot.stop <= len(flat)
        }

    def fingerprint(self, flat: NDArray[np.float32]) -> str:
        """SHA-256 over names, shapes and the bits of the state."""
        state = hashlib.sha256()
        for slot in self.slots:
            state.update(f"{slot.name}{slot.shape}".encode())
            state.update(flat[slot.start : slot.stop].tobytes())
        return state.hexdigest()


def _slots(named_shapes: Iterable[tuple[str, tuple[int, ...]]], start: int) -> tuple[tuple[Slot, ...], int]:
    """One region from `start` on, and where it ends."""
    slots: list[Slot] = []
    for name, shape in named_shapes:
        stop = start + math.prod(shape)
        slots.append(Slot(name, shape, start, stop))
        start = -(-stop // _ALIGN) * _ALIGN
    return tuple(slots), start


def _trained(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad]


def batch_norms(network: nn.Module) -> list[tuple[str, BatchNorm2d]]:
    """Those whose running statistics are learnt."""
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, BatchNorm2d)]
    return [(name, module) for name, module in found if module.bias.requires_grad]


def _statistics(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        (f"{name}.{each}", getattr(module, each))
        for name, module in batch_norms(network)
        for each in ("running_mean", "running_var")
    ]


def _fixed(network: nn.Module) -> list[tuple[str, Tensor]]:
    moving = {name for name, _ in _trained(network) + _statistics(network)}
    named = [*network.named_parameters(), *network.named_buffers()]
    return [(name, tensor) for name, tensor in named if name not in moving and tensor.dtype == torch.float32]


def aligned_zeros(size: int) -> NDArray[np.float32]:
    """A zeroed float32 vector that starts on a 64-byte line."""
    raw = np.zeros(size + _ALIGN, np.float32)
    skip = (-raw.ctypes.data % 64) // 4
    return raw[skip : skip + size]


def adopt(network: nn.Module, layout: Layout, state: Tensor) -> None:
    """Make the network's tensors views of `state`, (layout.size,); several networks may share one vector."""
    for tensor, view in zip(_tensors(network), layout.views(state, layout.slots), strict=True):
        tensor.data = view


def gather(network: nn.Module, layout: Layout) -> NDArray[np.float32]:
    """A flat copy of the network's tensors."""
    flat = aligned_zeros(layout.size)
    for slot, tensor in zip(layout.slots, _tensors(network), strict=True):
        flat[slot.start : slot.stop] = tensor.detach().numpy().reshape(-1)
    return flat


def _tensors(network: nn.Module) -> list[Tensor]:
    """In the order of the slots."""
    return [tensor for region in (_trained, _statistics, _fixed) for _, tensor in region(network)]
