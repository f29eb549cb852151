"""A small net for 8x8 digits, about 40,000 parameters."""

from __future__ import annotations

from torch import nn

from pileus.models.layers import ScalePixels, SeededDropout


def digits_cnn(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    return nn.Sequential(
        ScalePixels(),
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        SeededDropout(0.25),
        nn.Linear(32 * (height // 2) * (width // 2), 64),
        nn.ReLU(),
        nn.Linear(64, num_classes),
    )
