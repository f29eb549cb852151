"""All of a network's parameters in one vector, so that a gradient is one array to add, send and step with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_ALIGN = 16
"""Floats: each parameter starts on a 64-byte line, so that kernels take the same path on every worker."""


class Slot(NamedTuple):
    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Layout:
    """Where each parameter lies in the flat float32 vector; `size` counts the padding too."""

    def __init__(self, named_shapes: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        slots: list[Slot] = []
        start = 0
        for name, shape in named_shapes:
            stop = start + math.prod(shape)
            slots.append(Slot(name, shape, start, stop))
            start = -(-stop // _ALIGN) * _ALIGN
        self.slots = tuple(slots)
        self.size = start

    @classmethod
    def of(cls, network: nn.Module) -> Layout:
        return cls((name, tuple(parameter.shape)) for name, parameter in network.named_parameters())

    def views(self, flat: Tensor) -> list[Tensor]:
        """The parameters, in order, as views of `flat`."""
        return [flat[slot.start : slot.stop].view(slot.shape) for slot in self.slots]

    def named_arrays(self, flat: NDArray[np.float32], prefix: str = "") -> dict[str, NDArray[np.float32]]:
        """Views of a flat array by name, as a checkpoint holds them."""
        return {prefix + slot.name: flat[slot.start : slot.stop].reshape(slot.shape) for slot in self.slots}

    def fingerprint(self, flat: NDArray[np.float32]) -> str:
        """SHA-256 over names, shapes and the bits of the weights."""
        state = hashlib.sha256()
        for slot in self.slots:
            state.update(f"{slot.name}{slot.shape}".encode())
            state.update(flat[slot.start : slot.stop].tobytes())
        return state.hexdigest()


def aligned_zeros(size: int) -> NDArray[np.float32]:
    """A zeroed float32 vector that starts on a 64-byte line."""
    raw = np.zeros(size + _ALIGN, np.float32)
    skip = (-raw.ctypes.data % 64) // 4
    return raw[skip : skip + size]


def adopt(network: nn.Module, layout: Layout, flat: NDArray[np.float32]) -> None:
    """Make the network's parameters views of `flat`; several networks may share one vector."""
    for parameter, view in zip(network.parameters(), layout.views(torch.from_numpy(flat)), strict=True):
        parameter.data = view


def gather(network: nn.Module, layout: Layout) -> NDArray[np.float32]:
    """A flat copy of the network's parameters."""
    flat = aligned_zeros(layout.size)
    for slot, parameter in zip(layout.slots, network.parameters(), strict=True):
        flat[slot.start : slot.stop] = parameter.detach().numpy().reshape(-1)
    return flat
