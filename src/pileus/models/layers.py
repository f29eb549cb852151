"""Layers that the field's libraries do not give in the form that exact training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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


class BatchNorm2d(nn.Module):
    """Each channel brought to mean 0 and variance 1 over the microbatch (Ioffe and Szegedy, 2015), then scaled.

    torch's own module moves its running statistics as it computes: so the order of microbatches and the number of
    workers would enter. This one leaves the statistics of the last microbatch in `batch_mean` and `batch_var`, (C,)
    float32, the variance unbiased, for whoever merges them into `running_mean` and `running_var`. ValueError in
    training where a microbatch has one value a channel, whose variance is not defined.
    """

    momentum = 0.1
    """What a step's statistics weigh against the running ones."""
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.batch_mean = torch.zeros(channels)
        self.batch_var = torch.ones(channels)

    @property
    def uses_batch(self) -> bool:
        """Whether it normalises by the microbatch and leaves its statistics: in training, unless it is frozen."""
        return self.training and self.weight.requires_grad

    def forward(self, features_NCHW: Tensor) -> Tensor:
        if not self.uses_batch:
            return functional.batch_norm(
                features_NCHW, self.running_mean, self.running_var, self.weight, self.bias, training=False
            )
        self.batch_mean, self.batch_var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        return functional.batch_norm(  # with momentum 1 it replaces what it is given by the statistics of the batch
            features_NCHW, self.batch_mean, self.batch_var, self.weight, self.bias, training=True, momentum=1.0
        )


def initialise(network: nn.Module, seed: int) -> None:
    """He's uniform initialisation of weights (He et al., 2015) from one generator in parameter order.

    Biases start at 0, the weights of norm layers at 1.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.zero_()
                continue
            fan_in = parameter[0].numel()
            bound = (6 / fan_in) ** 0.5
            parameter.uniform_(-bound, bound, generator=generator)
        for module in network.modules():
            if isinstance(module, BatchNorm2d):
                module.weight.fill_(1.0)
