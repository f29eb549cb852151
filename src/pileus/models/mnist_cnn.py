"""The net of many MNIST tutorials: conv 32 3x3, pool, dense 100, dense 10; 542,230 parameters at 28x28."""

from __future__ import annotations

from torch import nn

from pileus.models.layers import FlattenLast, ScalePixels


def mnist_cnn(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(
        ScalePixels(),
        nn.Conv2d(channels, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        FlattenLast(),
        nn.Linear(32 * ((height - 2) // 2) * ((width - 2) // 2), 100),
        nn.ReLU(),
        nn.Linear(100, num_classes),
    )
