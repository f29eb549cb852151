"""The sets of a study: the same pictures, enough of them, in every size and format of the design.

A set has as many images as the largest trial reads, so that none is read twice and a cold read is one. A smaller
source gives each picture several times, as records and files of their own; of a larger one pictures are taken evenly.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pileus.bench.portion import Portion, known
from pileus.bench.reading import cold
from pileus.bench.reading.design import Factors
from pileus.bench.reading.files import file_sizes, is_written, write_files
from pileus.bench.reading.opening import WrittenSet
from pileus.data.options import WriteOptions
from pileus.data.ports import Encoded, Sample, Source, Split
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.records.read import open_records
from pileus.spec.values import canonical_json, digest
from pileus.store import open_store

Tell = Callable[[int, int], None]
"""Told (images done, images)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken(Portion):
    """All to train on; of a smaller source, round and round."""

    @property
    def fingerprint(self) -> str:
        return digest(canonical_json([known(self.source), self.count]))

    def __getitem__(self, index: int) -> Sample:
        available = len(self.source)
        if self.count <= available:
            return super().__getitem__(index)._replace(split=Split.TRAIN)
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        copy, place = divmod(index, available)
        sample = self.source[place]
        return sample._replace(id=f"{sample.id}~{copy}", split=Split.TRAIN)


def write_set(source: Source, factors: Factors, pixels: int, folder: Path, progress: Tell) -> WrittenSet:
    """Shards and files below the folder; what is there already from the same source is kept.

    Photographs that are resized are stored as JPEG files again, so that decoding them is still part of reading.
    """
    taken = Taken(source=source, count=factors.num_images)
    first = source[0].image
    is_photograph = isinstance(first, Encoded) and first.format == "jpeg"
    options = WriteOptions()
    if pixels:
        options = WriteOptions(resize=(pixels, pixels), encode="jpeg" if is_photograph else "auto")

    def tell(done: int, total: int, size_bytes: int) -> None:
        progress(done, 2 * total)

    summary = write_source(taken, str(folder / "shards"), options=options, workers=count_cores().usable, progress=tell)
    records, files = open_records(summary.uri), folder / "files"
    if not is_written(open_store(files)):
        write_files(records, _writer(files), lambda done, total: progress(total + done, 2 * total))
        cold.write_out(files / key for key in open_store(files).list())
    side = factors.size_of_originals
    return WrittenSet(
        uri=open_store(folder).uri,
        records=len(records),
        content_bytes=sum(file_sizes(open_store(files))),
        size=None if records.shape is not None else (side, side),
    )


def copy_set(written: WrittenSet, uri: str, progress: Tell) -> WrittenSet:
    """The same set in another store."""
    here, there = open_store(written.uri), open_store(uri)
    keys = here.list()
    present = set(there.list())
    for number, key in enumerate(keys):
        if key not in present:
            there.put(key, here.get(key).content)
        progress(number + 1, len(keys))
    return msgspec.structs.replace(written, uri=there.uri)


def delete_set(uri: str) -> None:
    """Every key below the URI."""
    store = open_store(uri)
    for key in store.list():
        store.delete(key)


def _writer(folder: Path) -> Callable[[str, bytes], None]:
    """Plain files: a put of the store would sync each by itself."""
    shutil.rmtree(folder, ignore_errors=True)

    def write(key: str, content: bytes) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write
