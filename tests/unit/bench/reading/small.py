"""A small study's parts: a set of photographs in both formats, an outcome, finished trials."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec
import numpy as np

from pileus.bench.reading.design import Cell, Factors, Place, Trial, all_trials
from pileus.bench.reading.opening import WrittenSet
from pileus.bench.reading.results import Done
from pileus.bench.reading.sets import write_set
from pileus.bench.reading.trial import Outcome, Task
from pileus.data.ports import Encoded, Sample, Split
from tests.unit.data.photos import Listed, photograph

FACTORS = Factors(batch_size=(2, 4), batches=(1, 3), readers=(1,), repetitions=2)
OUTCOME = Outcome(
    process_s=0.2,
    open_s=0.001,
    first_batch_s=0.004,
    wall_s=0.5,
    cpu_s=0.4,
    stall_s=0.3,
    images=12,
    batches_read=3,
    requests=7,
    store_bytes=90_000,
    disk_bytes=None,
    resident=1.0,
    peak_bytes=1 << 26,
    by_pillow=0,
)


def photographs(count: int = 5) -> Listed:
    """Of sizes of their own, some to test on."""
    rng = np.random.default_rng(3)
    sides = rng.integers(40, 90, (count, 2)).tolist()
    return Listed(
        [
            Sample(
                Encoded(photograph(height, width, number), "jpeg"),
                number % 3,
                f"p{number}",
                Split.TEST if number % 4 == 0 else None,
            )
            for number, (height, width) in enumerate(sides)
        ]
    )


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""
    assert 0 <= done <= total


def written_set(folder: Path, pixels: int = 0) -> WrittenSet:
    return write_set(photographs(), FACTORS, pixels, folder, quiet)


def cell_of(**levels: object) -> Cell:
    plain = Cell(format="shards", pixels=0, batch_size=4, batches=3, readers=2, cache="warm", store=Place())
    return msgspec.structs.replace(plain, **levels)


def task_of(cell: Cell, written: WrittenSet, caches: Path) -> Task:
    caches.mkdir(exist_ok=True)
    return Task(cell=cell, written=written, cache_folder=str(caches), seed=0, spawned_at=time.monotonic())


def finished(factors: Factors = FACTORS) -> list[Done]:
    """Every trial, as if a batch took 2 ms and an image 1 ms of files, 0.5 ms of shards, with a little noise."""
    noise = itertools.cycle((0.99, 1.01, 1.0, 1.02, 0.98))
    return [Done(trial=trial, outcome=_as_if(trial, next(noise))) for trial in all_trials(factors)]


def _as_if(trial: Trial, noise: float) -> Outcome:
    cell = trial.cell
    images = cell.batch_size * cell.batches
    wall_s = (0.003 + 0.002 * cell.batches + (0.001 if cell.format == "files" else 0.0005) * images) * noise
    resident = 0.0 if cell.cache == "cold" else 1.0
    return msgspec.structs.replace(OUTCOME, wall_s=wall_s, images=images, batches_read=cell.batches, resident=resident)
