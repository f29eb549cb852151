"""One trial, as a process of its own: what an earlier one left in memory, threads and caches must not enter.

    python -m pileus.bench.reading.trial < task.json

prints one line of JSON, an Outcome or {"error": ...}. Start-up (interpreter and imports, opening, one batch) is
measured by itself; then page cache and shard cache are brought into the state asked for, and the batches are counted
from the start of the reader threads to the last batch, with nothing read beforehand or beyond.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pileus.bench.process import answer
from pileus.bench.reading import cold
from pileus.bench.reading.design import Cell
from pileus.bench.reading.opening import Opened, WrittenSet, content_paths, open_reader, open_set
from pileus.spec.values import Spec
from pileus.store.cache import Cache


class Task(Spec, frozen=True, kw_only=True):
    """What a trial is told."""

    cell: Cell
    written: WrittenSet
    cache_folder: str
    """For whole shards of this set, where it is remote: `warm` in it is shared by the trials that want them there."""
    seed: int
    """Of the order of the images."""
    spawned_at: float
    """`time.monotonic()` of this machine when the process was begun."""


class Outcome(Spec, frozen=True, kw_only=True):
    """What a trial found. Times in seconds."""

    process_s: float
    """The interpreter and its imports."""
    open_s: float
    """Manifest, index, reader."""
    first_batch_s: float
    """One batch, threads begun; not among those counted."""
    wall_s: float
    """Of the counted batches, threads begun."""
    cpu_s: float
    """Processor time of all threads meanwhile."""
    stall_s: float
    """Waited for the next batch meanwhile."""
    images: int
    """That came."""
    batches_read: int
    requests: int
    """To the store meanwhile, behind its cache."""
    store_bytes: int
    """That came from the store meanwhile."""
    disk_bytes: int | None
    """That came from the storage of this machine meanwhile; None where the system does not tell."""
    resident: float | None
    """Share of the local files that was in memory just before; None where there are none or it cannot be told."""
    peak_bytes: int | None
    """The most memory that the process held."""
    by_pillow: int
    """Pictures that the slower decoder had to take."""

    @property
    def images_per_s(self) -> float:
        return self.images / self.wall_s


def measure(task: Task) -> Outcome:
    """StoreError, Damaged and the like from the reading itself."""
    process_s = time.monotonic() - task.spawned_at
    cache = _settled(task)
    began = time.perf_counter()
    with open_reader(_open(task, cache).records, task.written, task.cell, task.seed) as reader:
        open_s = time.perf_counter() - began
        first = reader.epoch(0)
        next(first)
        first_batch_s = time.perf_counter() - began - open_s
    cache = _settled(task)
    return _counted(task, cache, process_s=process_s, open_s=open_s, first_batch_s=first_batch_s)


def _open(task: Task, cache: Cache | None) -> Opened:
    return open_set(task.written, task.cell.format, task.cell.store, cache)


def _counted(task: Task, cache: Cache | None, **startup_s: float) -> Outcome:
    opened = _open(task, cache)
    with open_reader(opened.records, task.written, task.cell, task.seed) as reader:
        resident = cold.resident_share(_local_files(task, cache))
        requests, store_bytes = opened.store.requests, opened.store.size_bytes
        disk_before, cpu_before, images, batches = cold.disk_bytes(), time.process_time(), 0, 0
        began = time.perf_counter()
        for batch in reader.epoch(0, step=reader.steps_per_epoch - task.cell.batches):
            images, batches = images + len(batch.labels_N), batches + 1
        wall_s, cpu_s, disk_after = time.perf_counter() - began, time.process_time() - cpu_before, cold.disk_bytes()
    return Outcome(
        wall_s=wall_s,
        cpu_s=cpu_s,
        stall_s=reader.stall_s,
        images=images,
        batches_read=batches,
        requests=opened.store.requests - requests,
        store_bytes=opened.store.size_bytes - store_bytes,
        disk_bytes=None if disk_before is None or disk_after is None else disk_after - disk_before,
        resident=resident,
        peak_bytes=cold.peak_bytes(),
        by_pillow=reader.by_pillow,
        **startup_s,
    )


def _settled(task: Task) -> Cache | None:
    """Bring page cache and shard cache into the cell's state; the shard cache to read by, where the cell has one."""
    cell, paths = task.cell, content_paths(task.written, task.cell.format)
    if cell.cache == "cold":
        cold.forget(paths)
        return Cache(Path(tempfile.mkdtemp(prefix="cold-", dir=task.cache_folder))) if _is_cached(cell) else None
    cold.recall(paths)
    if not _is_cached(cell):
        return None
    cache = Cache(Path(task.cache_folder) / "warm")
    records = _open(task, cache).records
    for _ in records.contents(np.arange(len(records))):
        pass
    return cache


def _is_cached(cell: Cell) -> bool:
    return cell.store.is_cached and cell.format == "shards"


def _local_files(task: Task, cache: Cache | None) -> list[Path]:
    """That images are read from, as far as they are of this machine."""
    if cache is not None and task.cell.cache == "warm":
        return [path for path in cache.folder.iterdir() if path.is_file()]
    return content_paths(task.written, task.cell.format)


if __name__ == "__main__":
    sys.exit(answer(measure, Task))
