"""The networks of the comparison in plain PyTorch, and the pictures as the peers hold them: in memory, as floats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

_MEANS_C, _SPREADS_C = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Samples(NamedTuple):
    images_NCHW: Tensor
    labels_N: Tensor


def load(path: str, part: str, net: str) -> Samples:
    """float32 in [0, 1]; of colour pictures less the mean of each channel and over its spread."""
    arrays = np.load(path, allow_pickle=False)
    images_NCHW = torch.from_numpy(arrays[f"{part}_images_NHWC"]).permute(0, 3, 1, 2).to(torch.float32) / 255
    if net == "resnet9":
        images_NCHW -= torch.tensor(_MEANS_C)[:, None, None]
        images_NCHW /= torch.tensor(_SPREADS_C)[:, None, None]
    return Samples(images_NCHW.contiguous(), torch.from_numpy(arrays[f"{part}_labels_N"]))


def accuracy(network: nn.Module, samples: Samples) -> float:
    """In [0, 1]."""
    network.eval()
    with torch.no_grad():
        answers = [network(images).argmax(1) for images in torch.split(samples.images_NCHW, 256)]
    network.train()
    return (torch.cat(answers) == samples.labels_N).float().mean().item()


def mnist_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(13 * 13 * 32, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


class Twice(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.both = nn.Sequential(block(channels, channels), block(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        inner: Tensor = self.both(features)
        return features + inner


class Scale(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits * 0.125


def block(given: int, made: int, *, pool: bool = False) -> nn.Module:
    pools: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(nn.Conv2d(given, made, 3, padding=1, bias=False), *pools, nn.BatchNorm2d(made), nn.ReLU())


def resnet9() -> nn.Module:
    return nn.Sequential(
        block(3, 64),
        block(64, 128, pool=True),
        Twice(128),
        block(128, 256, pool=True),
        block(256, 512, pool=True),
        Twice(512),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10, bias=False),
        Scale(),
    )


NETS = {"mnist_cnn": mnist_cnn, "resnet9": resnet9}
