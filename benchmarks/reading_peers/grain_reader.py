"""Grain over ArrayRecord files, by its threads or its worker processes. A batch is one call, so that threads stay out
of each other's way: batches are formed before they are read ahead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import grain
import torch

from reading_peers.job import Batches, Job, run
from reading_peers.pictures import Maker


def batches(job: Job) -> Batches:
    settings = job.settings
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    maker = Maker(job.task, settings["decoder"], settings["resizer"])

    def batch(records: Any) -> Any:
        return maker([record[1:] for record in records]).numpy(), [record[0] for record in records]

    paths = sorted(str(path) for path in Path(job.data, "array_record").glob("*.array_record"))
    dataset: Any = (
        grain.MapDataset.source(grain.sources.ArrayRecordDataSource(paths))
        .seed(0)
        .shuffle()
        .repeat()
        .batch(job.batch_size, drop_remainder=True, batch_fn=batch)
        .to_iter_dataset(grain.ReadOptions(num_threads=settings["threads"], prefetch_buffer_size=settings["ahead"]))
    )
    if settings["workers"]:
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=settings["workers"]))
    return dataset  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(batches, ["grain", "array-record"])
