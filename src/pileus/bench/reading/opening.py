"""A set of the study, opened as a cell of the design says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pileus.bench.reading.design import Cell, Format, Place
from pileus.bench.reading.files import SIZES_KEY, FilesOneByOne
from pileus.bench.reading.stores import MeasuredStore
from pileus.data.reader import Reader
from pileus.records.manifest import SHARD_KEY
from pileus.records.read import RecordSet
from pileus.spec.reading import Reading, Sampling
from pileus.spec.values import Spec
from pileus.store import open_store
from pileus.store.cache import Cache
from pileus.store.files import FileStore


class WrittenSet(Spec, frozen=True, kw_only=True):
    """The same images as shards and as files."""

    uri: str
    """Below it `shards` is a record set and `files` has its images one by one."""
    records: int
    content_bytes: int
    """Of all images, as they are stored."""
    size: tuple[int, int] | None
    """Height and width that pictures in sizes of their own are made when they are read; None: all are alike."""

    @property
    def image_bytes(self) -> float:
        """Of an image as it is stored, on average."""
        return self.content_bytes / self.records

    def at(self, form: Format) -> str:
        return f"{self.uri}/{form}"


class Opened(NamedTuple):
    records: RecordSet
    store: MeasuredStore
    """That images come from; with a cache, behind it."""


def open_set(written: WrittenSet, form: Format, place: Place, cache: Cache | None) -> Opened:
    """`cache` keeps whole shards; of files none is kept."""
    latency_s = place.latency_ms / 1000
    shards = MeasuredStore(open_store(written.at("shards")), latency_s)
    if form == "shards":
        return Opened(RecordSet(shards, cache), shards)
    files = MeasuredStore(open_store(written.at("files")), latency_s)
    return Opened(FilesOneByOne(shards, files), files)


def open_reader(records: RecordSet, written: WrittenSet, cell: Cell, seed: int) -> Reader:
    """Streams: what is held in memory would not be read again."""
    sampling = Sampling(batch_size=cell.batch_size, seed=seed, size=written.size)
    return Reader(records, sampling, Reading(readers=cell.readers, memory_bytes=0))


def content_paths(written: WrittenSet, form: Format) -> list[Path]:
    """The files that images are read from, without what tells where they are; none where the set is elsewhere."""
    store = open_store(written.at(form))
    if not isinstance(store, FileStore):
        return []
    keys = store.list()
    images = [key for key in keys if (SHARD_KEY.fullmatch(key) if form == "shards" else key != SIZES_KEY)]
    return [store.root / key for key in images]
