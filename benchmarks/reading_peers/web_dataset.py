"""WebDataset over tar files: its own shuffle buffer, batches made in its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
import webdataset

from reading_peers.job import Batches, Job, run
from reading_peers.pictures import Maker


def batches(job: Job) -> Batches:
    settings = job.settings
    workers = settings["workers"]
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    maker = Maker(job.task, settings["decoder"], settings["resizer"], shared=workers > 0)

    def batch(samples: list[tuple[bytes, bytes]]) -> Any:
        return maker([content for content, _ in samples]), torch.tensor([int(label) for _, label in samples])

    shards = sorted(str(path) for path in Path(job.data, "tar").glob("*.tar"))
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards))
        .repeat()
        .shuffle(1000)
        .to_tuple("jpg", "cls")
        .batched(job.batch_size, collation_fn=batch, partial=False)
    )
    return webdataset.WebLoader(  # type: ignore[no-any-return]
        dataset, batch_size=None, num_workers=workers, prefetch_factor=2 if workers else None
    )


if __name__ == "__main__":
    run(batches, ["webdataset", "torch"])
