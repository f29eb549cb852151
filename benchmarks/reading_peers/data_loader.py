"""PyTorch's DataLoader over a folder of files.

`fetch` "items" is what tutorials do: torchvision's ImageFolder, its v2 transforms on Pillow's image, default_collate.
"batch" reads and makes a batch in one call (`__getitems__`), in memory that the workers share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from reading_peers.job import SIDE, Batches, Job, Task, run
from reading_peers.pictures import Maker
from reading_peers.shapes import ASPECT


class Files:
    """Whole batches of a folder of classes."""

    def __init__(self, root: Path, maker: Maker) -> None:
        classes = sorted(path.name for path in root.iterdir())
        self._samples = [(path, label) for label, name in enumerate(classes) for path in (root / name).iterdir()]
        self._maker = maker

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        samples = [self._samples[row] for row in rows]
        return self._maker([path.read_bytes() for path, _ in samples]), torch.tensor([label for _, label in samples])


def tutorial(root: Path, task: Task) -> Any:
    crop = [v2.RandomResizedCrop(SIDE, ratio=ASPECT), v2.RandomHorizontalFlip()]
    transforms = crop if task == "train" else [v2.Resize(SIDE), v2.CenterCrop(SIDE)]
    return torchvision.datasets.ImageFolder(str(root), v2.Compose([*transforms, v2.PILToTensor()]))


def as_it_is(batch: Any) -> Any:
    return batch


def batches(job: Job) -> Batches:
    settings = job.settings
    workers, root = settings["workers"], Path(job.data) / "photographs" / "train"
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.get("threads", 1))
    if settings["fetch"] == "items":
        dataset, collate = tutorial(root, job.task), None
    else:
        maker = Maker(job.task, settings["decoder"], settings["resizer"], shared=workers > 0)
        dataset, collate = Files(root, maker), as_it_is
    loader: Any = DataLoader(
        dataset,
        batch_size=job.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        prefetch_factor=settings.get("prefetch", 2) if workers else None,
    )
    while True:
        yield from loader


if __name__ == "__main__":
    run(batches, ["torch", "torchvision"])
