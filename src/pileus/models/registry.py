"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pileus.errors import SpecError
from pileus.models.digits_cnn import digits_cnn
from pileus.models.layers import initialise
from pileus.models.mnist_cnn import mnist_cnn
from pileus.models.strokes_cnn import strokes_cnn
from pileus.spec.resolve import did_you_mean

Maker = Callable[[int, int, int, int], nn.Module]

NETWORKS: dict[str, Maker] = {"digits_cnn": digits_cnn, "mnist_cnn": mnist_cnn, "strokes_cnn": strokes_cnn}

SMALLEST_SIDE_PX = 8
"""Below this the pools leave nothing."""


def build(name: str, shape_HWC: tuple[int, int, int], num_classes: int, seed: int) -> nn.Module:
    """The network with its seeded first weights; SpecError for an unknown name or images too small for it."""
    if name not in NETWORKS:
        raise SpecError(f"no model is called {name!r}; {did_you_mean(name, NETWORKS)}")
    height, width, channels = shape_HWC
    if min(height, width) < SMALLEST_SIDE_PX:
        raise SpecError(
            f"images must be at least {SMALLEST_SIDE_PX} pixels a side (got {height}x{width}); resize them."
        )
    network = NETWORKS[name](height, width, channels, num_classes)
    initialise(network, seed)
    return network
