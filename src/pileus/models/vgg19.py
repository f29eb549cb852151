"""The net of 19 layers of the Visual Geometry Group (Simonyan and Zisserman, ICLR 2015), without norm layers.

143,667,240 parameters at three channels and 1,000 classes, as torchvision tells of its `vgg19`, whose names and shapes
these are; 575 MB, of which the first dense layer is two thirds. It takes 7x7 features of any picture from 32 pixels:
those of other sizes are brought there by adaptive means.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from pileus.models.layers import AdaptiveMean, SeededDropout, StandardPixels

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels, and convolutions of 3x3 before the pool that halves the sides."""
_SIDE = 7


def vgg19(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    given = channels
    for made, convolutions in _STAGES:
        for _ in range(convolutions):
            layers += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU()]
            given = made
        layers.append(nn.MaxPool2d(2))
    classifier = nn.Sequential(
        nn.Linear(given * _SIDE * _SIDE, 4096),
        nn.ReLU(),
        SeededDropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        SeededDropout(0.5),
        nn.Linear(4096, num_classes),
    )
    return nn.Sequential(
        OrderedDict(
            pixels=StandardPixels(channels),
            features=nn.Sequential(*layers),
            avgpool=AdaptiveMean((height // 32, width // 32), _SIDE),
            flatten=nn.Flatten(),
            classifier=classifier,
        )
    )
