"""The loop that the trainers' documentation shows: a DataLoader, DistributedDataParallel, SGD.

Best for two workers on two cores: one thread each, no processes that load, pictures in memory as floats, no more of the
trainer's own reports than the loop needs. Times are of the machine's clock, so that another process can compare them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from training_peers.nets import load, mnist_cnn

TIMES, WEIGHTS = "times.json", "weights.pt"
Settings = Mapping[str, Any]
"""arrays, workers, epochs, batch_size (of one worker), lr, momentum; folder: takes the times and the weights."""


def pictures(settings: Settings) -> TensorDataset:
    return TensorDataset(*load(settings["arrays"], "train", "mnist_cnn"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return mnist_cnn()


def train_in_group(settings: Settings, rank: int) -> None:
    """By the process group that is there."""
    dataset, workers = pictures(settings), settings["workers"]
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=workers, rank=rank, shuffle=True)
    loader = DataLoader(dataset, batch_size=settings["batch_size"], sampler=sampler)
    fit(settings, DistributedDataParallel(network()), loader, rank)


def fit(settings: Settings, model: nn.Module, loader: DataLoader[Any], rank: int) -> None:
    """`model`: wrapped for the gang; `loader`: of this rank's part, with a sampler that draws each epoch anew."""
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"], momentum=settings["momentum"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"] * len(loader))
    first_step = time.time()
    for epoch in range(settings["epochs"]):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for images_NCHW, labels_N in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images_NCHW), labels_N).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    if rank == 0:
        folder = Path(settings["folder"])
        assert isinstance(model.module, nn.Module)
        torch.save(model.module.state_dict(), folder / WEIGHTS)
        (folder / TIMES).write_text(json.dumps({"first_step": first_step, "trained": time.time()}))
