"""The plain loop over tensors that are in memory already: no DataLoader, a batch is an index. Prints one JSON line."""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import nn

from training_peers.nets import accuracy, load, mnist_cnn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="file that `arrays.exported` wrote")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    train, network = load(args.arrays, "train", "mnist_cnn"), mnist_cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=args.lr, momentum=0.9)
    steps = -(-len(train.labels_N) // args.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * steps)
    started = time.perf_counter()
    for _ in range(args.epochs):
        for rows in torch.split(torch.randperm(len(train.labels_N)), args.batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(train.images_NCHW[rows]), train.labels_N[rows])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
    train_s = time.perf_counter() - started
    print(json.dumps({"train_s": train_s, "accuracy": accuracy(network, load(args.arrays, "test", "mnist_cnn"))}))


if __name__ == "__main__":
    main()
