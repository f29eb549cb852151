"""Layers that the field's libraries do not give in the form that exact training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScalePixels(nn.Module):
    """images_NHWC uint8 to images_NCHW float32 in [0, 1]; part of the graph, so that serving cannot differ."""

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return images_NHWC.permute(0, 3, 1, 2).to(torch.float32) * (1.0 / 255.0)


class SeededDropout(nn.Module):
    """Dropout whose mask comes from a generator that the caller seeds for each microbatch."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator = torch.Generator()

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        keep = torch.empty_like(features).bernoulli_(1 - self.rate, generator=self.generator)
        return features * keep * (1 / (1 - self.rate))


class GroupNorm(nn.Module):
    """Each group of channels of each sample brought to mean 0 and variance 1 (Wu and He, 2018), without weights.

    What else is in a microbatch does not enter. torch's own module looks at the batch's size, which a graph that is
    traced with a free batch must not.
    """

    def __init__(self, num_groups: int) -> None:
        super().__init__()
        self.num_groups = num_groups

    def forward(self, features_NCHW: Tensor) -> Tensor:
        return torch.group_norm(features_NCHW, self.num_groups)


def initialise(network: nn.Module, seed: int) -> None:
    """He's uniform initialisation of weights (He et al., 2015), zero biases, from one generator in parameter order."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.zero_()
                continue
            fan_in = parameter[0].numel()
            bound = (6 / fan_in) ** 0.5
            parameter.uniform_(-bound, bound, generator=generator)
