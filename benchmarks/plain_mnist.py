"""The plain loop that tutorials show. Prints one JSON line."""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def read(folder: str, part: str) -> TensorDataset:
    images = gzip.decompress(Path(folder, f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress(Path(folder, f"{part}-labels-idx1-ubyte.gz").read_bytes())
    images_NCHW = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    labels_N = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return TensorDataset(torch.from_numpy(images_NCHW), torch.from_numpy(labels_N))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    train = DataLoader(read(args.data, "train"), batch_size=args.batch_size, shuffle=True)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(13 * 13 * 32, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=args.lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(train))
    started = time.perf_counter()
    for _ in range(args.epochs):
        for images_NCHW, labels_N in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images_NCHW), labels_N).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    train_s = time.perf_counter() - started
    images_NCHW, labels_N = read(args.data, "t10k").tensors
    with torch.no_grad():
        accuracy = (network(images_NCHW).argmax(1) == labels_N).float().mean().item()
    print(json.dumps({"train_s": train_s, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
