"""A net for 28x28 drawings of many hands and pens: four convolutions, pooled before their norms.

The norms let it learn from several joined sources in few epochs.
"""

from __future__ import annotations

from torch import nn

from pileus.models.layers import BatchNorm2d, ScalePixels, SeededDropout


def drawings_cnn(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    layers: list[nn.Module] = [ScalePixels()]
    for given, made, is_pooled in ((channels, 32, True), (32, 64, True), (64, 96, False), (96, 96, True)):
        layers.append(nn.Conv2d(given, made, 3, padding=1, bias=False))
        if is_pooled:
            layers.append(nn.MaxPool2d(2))
        layers += [BatchNorm2d(made), nn.ReLU()]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        SeededDropout(0.3),
        nn.Linear(96 * (height // 8) * (width // 8), 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
