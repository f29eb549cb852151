"""The residual net of nine layers for CIFAR-10 and DAWNBench (David Page, "How to train your ResNet", part 4, 2018).

6,573,120 parameters at ten classes: the linear layer has no bias, and its logits are multiplied by 1/8. Pools stand
between convolution and norm, as in part 8 of that series, where they leave the norm a quarter of the work. The greatest
value over what is left of the picture is taken at the end, so any size from 16 pixels will do.
"""

from __future__ import annotations

from torch import Tensor, nn

from pileus.models.layers import BatchNorm2d, Scale, StandardPixels

_LOGIT_SCALE = 0.125


class Twice(nn.Module):
    """Two convolutions, added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _block(channels, channels, pool=False)
        self.second = _block(channels, channels, pool=False)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        inner_NCHW: Tensor = self.second(self.first(features_NCHW))
        return features_NCHW + inner_NCHW


def resnet9(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(
        StandardPixels(channels),
        _block(channels, 64, pool=False),
        _block(64, 128, pool=True),
        Twice(128),
        _block(128, 256, pool=True),
        _block(256, 512, pool=True),
        Twice(512),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(512, num_classes, bias=False),
        Scale(_LOGIT_SCALE),
    )


def _block(given: int, made: int, *, pool: bool) -> nn.Module:
    pools: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(nn.Conv2d(given, made, 3, padding=1, bias=False), *pools, BatchNorm2d(made), nn.ReLU())
