"""Feed a torch network of your own from record shards: no DataLoader, no worker processes, no shuffle buffer.

    $ pileus data write embedded:digits digits
    $ python 01_read_into_torch.py digits

Other sets do as well; for photographs of many sizes give `size=(224, 224)`, and `augment` as in a recipe. A batch is a
pure function of (epoch, step), so that going on after a stop takes `step=` and nothing else.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import nn

import pileus

EPOCHS = 10


def train(place: str) -> None:
    with pileus.read(place, batch_size=64, augment={"rotate_deg": 10.0, "shift": 0.08}) as reader:
        network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(reader.shape), 64), nn.ReLU())
        network.append(nn.Linear(64, len(reader.classes)))
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for epoch in range(EPOCHS):
            correct = 0
            for batch in reader.epoch(epoch):
                images_NHWC, labels_N = torch.from_numpy(batch.images_NHWC), torch.from_numpy(batch.labels_N)
                logits_NK = network(images_NHWC / 255)
                optimizer.zero_grad()
                torch.autograd.backward(nn.functional.cross_entropy(logits_NK, labels_N))
                optimizer.step()
                correct += int((logits_NK.argmax(dim=1) == labels_N).sum())
            print(f"epoch {epoch + 1}: {correct / len(reader):.1%} of {len(reader):,} samples right")


if __name__ == "__main__":
    train(sys.argv[1])
