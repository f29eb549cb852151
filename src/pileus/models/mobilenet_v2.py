"""MobileNetV2 (Sandler et al., CVPR 2018): narrow features between blocks, wide and depthwise within them.

3,504,872 parameters at three channels and 1,000 classes, as torchvision tells of its `mobilenet_v2`, whose names and
shapes these are. It halves the sides five times, so it wants pictures of 64 pixels or more.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from pileus.models.layers import BatchNorm2d, SeededDropout, StandardPixels

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Widening, channels, blocks, stride of the first block: the paper's table 2."""


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow without a ReLU; beside a short cut where the shape stays."""

    def __init__(self, given: int, made: int, widening: int, stride: int) -> None:
        super().__init__()
        wide = given * widening
        layers = [] if widening == 1 else [_convolution(given, wide, size=1)]
        layers.append(_convolution(wide, wide, size=3, stride=stride, groups=wide))
        layers += [nn.Conv2d(wide, made, 1, bias=False), BatchNorm2d(made)]
        self.conv = nn.Sequential(*layers)
        self.keeps_shape = stride == 1 and given == made

    def forward(self, features_NCHW: Tensor) -> Tensor:
        inner_NCHW: Tensor = self.conv(features_NCHW)
        return features_NCHW + inner_NCHW if self.keeps_shape else inner_NCHW


def mobilenet_v2(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    features = [_convolution(channels, 32, size=3, stride=2)]
    given = 32
    for widening, made, blocks, first_stride in _STAGES:
        for block in range(blocks):
            features.append(InvertedResidual(given, made, widening, first_stride if block == 0 else 1))
            given = made
    features.append(_convolution(given, 1280, size=1))
    return nn.Sequential(
        OrderedDict(
            pixels=StandardPixels(channels),
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(SeededDropout(0.2), nn.Linear(1280, num_classes)),
        )
    )


def _convolution(given: int, made: int, *, size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(given, made, size, stride, padding=size // 2, groups=groups, bias=False),
        BatchNorm2d(made),
        nn.ReLU6(),
    )
