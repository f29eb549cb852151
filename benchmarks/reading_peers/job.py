"""What one process reads and how that is measured, the same for all.

A process reads for as long as it takes to count so many images. Its first batches do not count: by then workers run
and queues are as full as they stay, so that what was prepared before the clock started is prepared anew at its end.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil

Task = Literal["train", "evaluate", "cifar10", "mnist"]
Batches = Iterable[tuple[Any, Any]]

SIDE = 224
"""Pixels of a photograph that comes out, down and across."""
PHOTOGRAPHS: tuple[Task, ...] = ("train", "evaluate")
PADDING = 4
"""Pixels on each side before a small image is cropped."""


class Job(NamedTuple):
    """What one process is to do. All paths are below `data`, see `prepare`."""

    data: str
    task: Task
    batch_size: int
    warm_batches: int
    """Taken before the clock starts."""
    images: int
    """Counted at least; the last batch is counted whole."""
    settings: dict[str, Any]


def run(batches_of: Callable[[Job], Batches], distributions: Sequence[str]) -> None:
    """Do the job of the command line and print what came of it as one line of JSON. `batches_of` never ends."""
    job = Job(**json.loads(sys.argv[1]))
    versions = {name: importlib.metadata.version(name) for name in distributions}
    print(json.dumps(measured(job, batches_of(job)) | {"settings": job.settings, "versions": versions}), flush=True)


def measured(job: Job, batches: Batches) -> dict[str, Any]:
    """Seconds and processor seconds of `images` images, and what they were. Batches are (images, labels)."""
    process = psutil.Process()
    counted = label_sum = 0
    startup_s = began = cpu_before = 0.0
    shapes: set[tuple[int, ...]] = set()
    for taken, (images, labels) in enumerate(batches, 1):
        startup_s = startup_s or time.time() - process.create_time()
        if taken > job.warm_batches:
            counted += len(images)
            label_sum += int(np.asarray(labels).sum())
            shapes.add(tuple(images.shape[1:]))
        if taken == job.warm_batches:
            began, cpu_before = time.perf_counter(), cpu_s(process)
        if counted >= job.images:
            break
    return {
        "images": counted,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(process) - cpu_before,
        "startup_s": startup_s,
        "mean_label": label_sum / max(counted, 1),
        "shapes": sorted(shapes),
        "dtype": str(images.dtype).removeprefix("torch."),
    }


def cpu_s(process: psutil.Process) -> float:
    """Processor seconds of a process, of those below it, and of those that have ended."""
    return sum(sum(one.cpu_times()[:4]) for one in [process, *process.children(recursive=True)])
