"""Pileus, with the CRC of every record checked. `memory_bytes` 0: nothing stays decoded from one epoch to the next."""

from __future__ import annotations

from pathlib import Path

from pileus.data.reader import Reader
from pileus.records.read import open_records
from pileus.spec.augment import Augment, PadCrop, ResizedCrop
from pileus.spec.reading import Reading, Sampling
from reading_peers.job import PADDING, PHOTOGRAPHS, SIDE, Batches, Job, Task, run

AUGMENT: dict[Task, Augment] = {
    "train": Augment(flip=0.5, crop=ResizedCrop()),
    "evaluate": Augment(),
    "cifar10": Augment(flip=0.5, crop=PadCrop(padding=PADDING)),
    "mnist": Augment(flip=0.5, crop=PadCrop(padding=PADDING)),
}


def batches(job: Job) -> Batches:
    is_photographs = job.task in PHOTOGRAPHS
    records = open_records(str(Path(job.data) / ("records" if is_photographs else f"{job.task}-records")))
    sampling = Sampling(
        batch_size=job.batch_size, size=(SIDE, SIDE) if is_photographs else None, augment=AUGMENT[job.task]
    )
    with Reader(records, sampling, Reading(**job.settings)) as reader:
        for batch in reader.batches(range(10**6)):
            yield batch.images_NHWC, batch.labels_N


if __name__ == "__main__":
    run(batches, ["pileus", "simplejpeg"])
