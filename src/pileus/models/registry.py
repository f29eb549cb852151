"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from pileus.errors import SpecError
from pileus.models.cifar_cnn import cifar_cnn
from pileus.models.digits_cnn import digits_cnn
from pileus.models.drawings_cnn import drawings_cnn
from pileus.models.layers import initialise
from pileus.models.lenet5 import lenet5
from pileus.models.mnist_cnn import mnist_cnn
from pileus.models.mobilenet_v2 import mobilenet_v2
from pileus.models.photo_cnn import photo_cnn
from pileus.models.resnet9 import resnet9
from pileus.models.resnet18 import resnet18
from pileus.models.strokes_cnn import strokes_cnn
from pileus.models.vgg19 import vgg19
from pileus.spec.neighbours import KNN
from pileus.spec.resolve import did_you_mean


class Network(NamedTuple):
    make: Callable[[int, int, int, int], nn.Module]
    """From height, width, channels and the number of classes."""
    smallest_side_px: int
    """Below this its pools leave nothing, or nothing worth looking at."""


NETWORKS: dict[str, Network] = {
    "cifar_cnn": Network(cifar_cnn, 24),
    "digits_cnn": Network(digits_cnn, 8),
    "drawings_cnn": Network(drawings_cnn, 16),
    "lenet5": Network(lenet5, 12),
    "mnist_cnn": Network(mnist_cnn, 8),
    "mobilenet_v2": Network(mobilenet_v2, 64),
    "photo_cnn": Network(photo_cnn, 32),
    "resnet18": Network(resnet18, 16),
    "resnet9": Network(resnet9, 16),
    "strokes_cnn": Network(strokes_cnn, 8),
    "vgg19": Network(vgg19, 32),
}


def build(name: str, shape_HWC: tuple[int, int, int], num_classes: int, seed: int) -> nn.Module:
    """The network with its seeded first weights; SpecError for an unknown name or images too small for it."""
    height, width, channels = shape_HWC
    check_network(name, (height, width))
    network = NETWORKS[name].make(height, width, channels, num_classes)
    initialise(network, seed)
    return network


def check_network(name: str, size: tuple[int, int] | None) -> None:
    """SpecError for an unknown name, or a height and width too small for it; None: not known yet.

    The neighbour classifier, which has no network, takes any.
    """
    if name == KNN:
        return
    if name not in NETWORKS:
        raise SpecError(f"no model is called {name!r}; {did_you_mean(name, [*NETWORKS, KNN])}")
    least = NETWORKS[name].smallest_side_px
    if size is not None and min(size) < least:
        raise SpecError(
            f"{name} takes images of at least {least} pixels a side (got {size[0]}x{size[1]}); "
            f"bring them to a size: --set data.size=[{least},{least}] or larger."
        )
