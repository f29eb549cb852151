"""A net for photographs of any size from 32 pixels: four convolutions, then the mean over the picture.

The mean, where the nets for digits flatten, keeps the number of weights (about 240,000) apart from the size.
"""

from __future__ import annotations

from torch import nn

from pileus.models.layers import GroupNorm, ScalePixels, SeededDropout


def photo_cnn(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    layers: list[nn.Module] = [ScalePixels()]
    for given, made in ((channels, 32), (32, 64), (64, 128), (128, 128)):
        layers += [
            nn.Conv2d(given, made, 3, padding=1),
            nn.MaxPool2d(2),
            GroupNorm(8),
            nn.ReLU(),
        ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), SeededDropout(0.2), nn.Linear(128, num_classes)
    )
