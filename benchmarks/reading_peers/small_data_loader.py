"""PyTorch's DataLoader over small images held in memory, with torchvision's v2 transforms image by image.

`fetch` "items" has default_collate put the batch together, "batch" fills it in one call (`__getitems__`). "by hand"
leaves torchvision out: a batch is gathered and cut by whole-array indexing, as one does who has measured the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from reading_peers.data_loader import as_it_is
from reading_peers.job import PADDING, Batches, Job, run


class Images:
    """Tensors (N, C, H, W) and their labels, one by one or many at once."""

    def __init__(self, images_NCHW: torch.Tensor, labels_N: torch.Tensor, transform: Any) -> None:
        self._images_NCHW = images_NCHW
        self._labels_N = labels_N
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels_N)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._transform(self._images_NCHW[row]), self._labels_N[row]


class ImageBatches(Images):
    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        images_NCHW = self._images_NCHW[rows]
        return torch.stack([self._transform(image) for image in images_NCHW]), self._labels_N[rows]


class CutBatches(Images):
    """`images_NCHW` are padded already."""

    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        padded_NCHW = self._images_NCHW
        height, width = (side - 2 * PADDING for side in padded_NCHW.shape[2:])
        rows_N = torch.tensor(rows)
        tops_N, lefts_N = torch.randint(0, 2 * PADDING + 1, (2, len(rows)))
        flips_N1 = torch.rand(len(rows), 1) < 0.5
        down_NH = tops_N[:, None] + torch.arange(height)
        across_W = torch.arange(width)
        across_NW = lefts_N[:, None] + torch.where(flips_N1, across_W.flip(0), across_W)
        padded_NHWC = padded_NCHW.permute(0, 2, 3, 1)
        return padded_NHWC[rows_N[:, None, None], down_NH[:, :, None], across_NW[:, None]], self._labels_N[rows_N]


def batches(job: Job) -> Batches:
    settings, data = job.settings, Path(job.data)
    torch.set_num_threads(settings["threads"])
    images_NCHW = torch.from_numpy(np.load(data / f"{job.task}-images.npy")).permute(0, 3, 1, 2)
    labels_N = torch.from_numpy(np.load(data / f"{job.task}-labels.npy"))
    side = images_NCHW.shape[-1]
    both = v2.Compose([v2.RandomCrop(side, padding=PADDING), v2.RandomHorizontalFlip()])
    if settings["fetch"] == "by hand":
        padded_NHWC = functional.pad(images_NCHW, (PADDING,) * 4).permute(0, 2, 3, 1).contiguous()
        dataset: Any = CutBatches(padded_NHWC.permute(0, 3, 1, 2), labels_N, None)
    else:
        dataset = {"items": Images, "batch": ImageBatches}[settings["fetch"]](images_NCHW.contiguous(), labels_N, both)
    loader: Any = DataLoader(
        dataset,
        batch_size=job.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=settings["workers"],
        collate_fn=None if settings["fetch"] == "items" else as_it_is,
        persistent_workers=settings["workers"] > 0,
    )
    while True:
        yield from loader


if __name__ == "__main__":
    run(batches, ["torch", "torchvision"])
