"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998): two convolutions of 5x5, then 120, 84 and the classes.

61,706 parameters at 32x32x1 and ten classes. The paper's has about 60,000: its third layer leaves connections out, its
pooling learns. In place of those, of tanh and of the last layer's radial units stand what has been usual since: all
connections, the maximum, ReLU, logits. As the paper does with MNIST, images below 32 pixels are padded by two.
"""

from __future__ import annotations

from torch import nn

from pileus.models.layers import ScalePixels


def lenet5(height: int, width: int, channels: int, num_classes: int) -> nn.Module:
    padding = 2 if min(height, width) < 32 else 0
    rows, columns = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        ScalePixels(),
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(6, 16, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )
