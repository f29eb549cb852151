"""Layers that the field's libraries do not give in the form that exact training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ScalePixels(nn.Module):
    """images_NHWC uint8 to images_NCHW float32 in [0, 1]; part of the graph, so that serving cannot differ.

    In memory the channels stay last, and so through the convolutions after it, which are faster for it.
    """

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return images_NHWC.permute(0, 3, 1, 2).to(torch.float32) * (1.0 / 255.0)


class FlattenLast(nn.Module):
    """Features (N, C, H, W), whose channels lie last in memory, to (N, H * W * C) as they lie there.

    nn.Flatten moves every value, and every gradient on its way back: a seventh of a step of `mnist_cnn`.
    """

    def forward(self, features_NCHW: Tensor) -> Tensor:
        return features_NCHW.permute(0, 2, 3, 1).flatten(1)


class StandardPixels(nn.Module):
    """images_NHWC uint8 to images_NCHW float32, less the mean of ImageNet's channels and over their spread.

    These are the figures that the field's weights were trained with. Photographs of other sets are near enough to them;
    a grey picture takes their means. Without state, so that a trunk's weights say nothing of its input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        means_C, spreads_C = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        if channels != 3:
            means_C, spreads_C = means_C.mean().repeat(channels), spreads_C.mean().repeat(channels)
        self.factors_C: Tensor
        self.offsets_C: Tensor
        self.register_buffer("factors_C", 1 / (255 * spreads_C), persistent=False)
        self.register_buffer("offsets_C", -means_C / spreads_C, persistent=False)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        images_NHWC = images_NHWC.to(torch.float32) * self.factors_C + self.offsets_C
        return images_NHWC.permute(0, 3, 1, 2)


class Scale(nn.Module):
    """Logits that begin small."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


class IdentityConv2d(nn.Conv2d):
    """A 3x3 convolution without bias that begins by handing on what it is given: its first filters are the identity.

    The others begin by a factor of the square root of 6 smaller than He's, as torch makes them by itself: behind a norm
    that is no smaller output, but larger first steps. Both as in airbench94 (Jordan, 2024, arXiv:2404.00498).
    """

    def __init__(self, given: int, made: int) -> None:
        super().__init__(given, made, 3, padding=1, bias=False)

    @torch.no_grad()
    def begin(self) -> None:
        """From weights by He's initialisation."""
        self.weight /= 6**0.5
        nn.init.dirac_(self.weight[: self.in_channels])


class AdaptiveMean(nn.Module):
    """The means of side x side windows that together cover the features, whatever their height and width.

    As torch's AdaptiveAvgPool2d, which ONNX knows for multiples of `side` alone. Windows are products of intervals, so
    the means are two products by constant matrices.
    """

    def __init__(self, size: tuple[int, int], side: int) -> None:
        super().__init__()
        self.rows_SH: Tensor
        self.columns_WS: Tensor
        self.register_buffer("rows_SH", _interval_means(size[0], side), persistent=False)
        self.register_buffer("columns_WS", _interval_means(size[1], side).T.contiguous(), persistent=False)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        return self.rows_SH @ features_NCHW @ self.columns_WS


def _interval_means(length: int, parts: int) -> Tensor:
    """(parts, length): row i has the mean over [floor(i L / P), ceil((i + 1) L / P))."""
    means = torch.zeros((parts, length))
    for part in range(parts):
        start, stop = part * length // parts, -(-(part + 1) * length // parts)
        means[part, start:stop] = 1 / (stop - start)
    return means


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

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.batch_mean = torch.zeros(channels)
        self.batch_var = torch.ones(channels)

    @torch.no_grad()
    def begin(self) -> None:
        """From parameters that are 0."""
        self.weight.fill_(1.0)

    @property
    def uses_batch(self) -> bool:
        """Whether it normalises by the microbatch and leaves its statistics: in training, unless it is frozen."""
        return self.training and self.bias.requires_grad

    def forward(self, features_NCHW: Tensor) -> Tensor:
        shift_C = self.shift()
        if not self.uses_batch:
            return functional.batch_norm(
                features_NCHW, self.running_mean, self.running_var, self.weight, shift_C, training=False
            )
        self.batch_mean, self.batch_var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        return functional.batch_norm(  # with momentum 1 it replaces what it is given by the statistics of the batch
            features_NCHW, self.batch_mean, self.batch_var, self.weight, shift_C, training=True, momentum=1.0
        )

    def shift(self) -> Tensor:
        """What is added to each channel in the end."""
        return self.bias


class ShiftNorm2d(BatchNorm2d):
    """A norm that learns no scale, and whose shifts move 64 times as fast as other weights (Jordan, 2024).

    A rate of its own would have to be known to every optimiser; here the shift is 8 times the bias, so that plain SGD
    moves it by 8 times 8, and weight decay draws it back as any other weight.
    """

    _FASTER = 8.0

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_parameter("weight", None)

    def begin(self) -> None:
        """There is no scale to begin at 1."""

    def shift(self) -> Tensor:
        return self.bias * self._FASTER


def average_mirrored(network: nn.Module) -> None:
    """From now on it gives, in evaluation, the mean logits of a picture and of its mirror image; its names stay."""
    network.register_forward_hook(_with_mirrored)


def _with_mirrored(network: nn.Module, images: tuple[Tensor], logits_NK: Tensor) -> Tensor:
    if network.training:
        return logits_NK
    of_mirrored_NK: Tensor = network.forward(images[0].flip(2))
    return (logits_NK + of_mirrored_NK) / 2


def initialise(network: nn.Module, seed: int) -> None:
    """He's uniform initialisation of weights (He et al., 2015) from one generator in parameter order.

    Biases start at 0, the weights of norm layers at 1, those of IdentityConv2d as it says.
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
            if isinstance(module, (BatchNorm2d, IdentityConv2d)):
                module.begin()
