"""The residual net of 18 layers (He, Zhang, Ren and Sun, CVPR 2016), names and shapes those of torchvision.

11,689,512 parameters at three channels and 1,000 classes, as torchvision tells of its `resnet18`. Below 64 pixels a
side it begins as the paper's nets for CIFAR-10 do: one 3x3 convolution and no pool, in place of 7x7 with stride 2 and a
pool, which would leave a 32x32 picture one pixel (11,173,962 parameters at ten classes). So the weights of the one form
are not those of the other.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from pileus.models.layers import BatchNorm2d, StandardPixels

_SMALL_PX = 64


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a short cut, which is itself a 1x1 convolution where the shape changes."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(made)
        self.downsample = nn.Identity() if stride == 1 else _short_cut(given, made, stride)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        inner_NCHW = functional.relu(self.bn1(self.conv1(features_NCHW)))
        return functional.relu(self.bn2(self.conv2(inner_NCHW)) + self.downsample(features_NCHW))


def resnet18(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    parts: OrderedDict[str, nn.Module] = OrderedDict(pixels=StandardPixels(channels))
    if min(height, width) < _SMALL_PX:
        parts["conv1"] = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    else:
        parts["conv1"] = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
    parts.update(bn1=BatchNorm2d(64), relu=nn.ReLU())
    if min(height, width) >= _SMALL_PX:
        parts["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
    for stage, (given, made) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), start=1):
        stride = 1 if given == made else 2
        parts[f"layer{stage}"] = nn.Sequential(BasicBlock(given, made, stride), BasicBlock(made, made, 1))
    parts.update(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(512, num_classes))
    return nn.Sequential(parts)


def _short_cut(given: int, made: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), BatchNorm2d(made))
