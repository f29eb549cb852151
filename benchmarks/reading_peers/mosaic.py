"""MosaicML's streaming over MDS shards of this machine's disk; batches are made in the loader's workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import streaming
import torch
from torch.utils.data import DataLoader

from reading_peers.job import Batches, Job, run
from reading_peers.pictures import Maker


def batches(job: Job) -> Batches:
    settings = job.settings
    workers = settings["workers"]
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    maker = Maker(job.task, settings["decoder"], settings["resizer"], shared=workers > 0)

    def batch(samples: list[dict[str, Any]]) -> Any:
        return maker([sample["jpg"] for sample in samples]), torch.tensor([sample["cls"] for sample in samples])

    streaming.base.util.clean_stale_shared_memory()
    dataset = streaming.StreamingDataset(
        local=str(Path(job.data) / "mds"),
        shuffle=True,
        batch_size=job.batch_size,
        **{name: settings[name] for name in ("shuffle_algo",) if name in settings},
    )
    loader: Any = DataLoader(
        dataset,
        batch_size=job.batch_size,
        num_workers=workers,
        collate_fn=batch,
        drop_last=True,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
    )
    while True:
        yield from loader


if __name__ == "__main__":
    run(batches, ["mosaicml-streaming", "torch"])
