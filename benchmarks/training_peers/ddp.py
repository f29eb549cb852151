"""Plain DistributedDataParallel over gloo: processes of one thread each, pictures in memory. Prints one JSON line.

Every rank draws the same order and takes its part of each batch. Epochs are timed on rank 0 without their validation.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from training_peers.nets import NETS, Samples, accuracy, load


def work(rank: int, args: argparse.Namespace, meeting: str, out: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.processes)
    torch.manual_seed(args.seed)
    network = NETS[args.net]()
    model = DistributedDataParallel(network) if args.processes > 1 else network
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    train = load(args.arrays, "train", args.net)
    validation = load(args.arrays, "validation", args.net)
    epochs: list[dict[str, Any]] = []
    for number in range(args.epochs):
        started = time.perf_counter()
        train_epoch(model, optimizer, train, args, seed=args.seed * 10_000 + number)
        seconds = time.perf_counter() - started
        enough = torch.zeros(1)
        if rank == 0:
            held = accuracy(network, validation) if len(validation.labels_N) else None
            epochs.append({"seconds": seconds, "validation_accuracy": held})
            counted_s = sum(epoch["seconds"] for epoch in epochs[1:])
            enough[0] = args.seconds is not None and counted_s >= args.seconds
        dist.broadcast(enough, 0)
        if enough:
            break
    if rank == 0:
        result = {"epochs": epochs, "samples": len(train.labels_N), "steps": -(-len(train.labels_N) // args.batch_size)}
        test = load(args.arrays, "test", args.net)
        result |= {"test_accuracy": accuracy(network, test) if len(test.labels_N) else None}
        result |= {"parameters": sum(parameter.numel() for parameter in network.parameters())}
        Path(out).write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, train: Samples, args: argparse.Namespace, seed: int
) -> None:
    order = torch.randperm(len(train.labels_N), generator=torch.Generator().manual_seed(seed))
    rank, size = dist.get_rank(), dist.get_world_size()
    for rows in torch.split(order, args.batch_size):
        mine = rows.tensor_split(size)[rank]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(train.images_NCHW[mine]), train.labels_N[mine])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="file that `arrays.exported` wrote")
    parser.add_argument("--net", choices=NETS, default="mnist_cnn")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, help="of epochs past the first, after which it ends")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "result.json"
        spawn(work, (args, str(Path(scratch) / "meeting"), str(out)), args.processes)  # type: ignore[no-untyped-call]
        print(out.read_text())


if __name__ == "__main__":
    main()
