"""`pileus.read`: batches from a record set, for any framework and for none."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import msgspec

from pileus.data.reader import Reader
from pileus.data.sources import records as record_source
from pileus.data.sources.open import detect_kind, local_path
from pileus.errors import SourceError, SpecError, StoreError, UsageError
from pileus.records.read import RecordSet, open_records
from pileus.spec.augment import Augment
from pileus.spec.reading import Reading, Sampling, SplitName
from pileus.spec.resolve import did_you_mean, spec_of


class ReadOptions(TypedDict, total=False):
    """Which samples a batch holds and what is done to them; then how they come, which changes no bit of it."""

    batch_size: int
    """128 where nothing is said; that of all workers together. The last batch of an epoch may be smaller."""
    microbatch_size: int
    """Batches are dealt to the workers, and mixed, in pieces of this size. One for each worker where nothing is said;
    to be said where several workers mix, so that their number does not enter."""
    size: tuple[int, int] | None
    """Height and width in pixels of what comes out; needed where pictures are stored in sizes of their own."""
    augment: Augment | Mapping[str, Any]
    """As in a recipe's file: {"flip": 0.5, "crop": {"name": "resized", "area_min": 0.3}}."""
    seed: int
    """Of order and augmentation."""
    split: SplitName
    """'train' where nothing is said."""
    validation: float
    """Part of the training samples to hold back where the records have no validation part."""
    readers: int | None
    """Threads that read and decode; None: as many as cores may be used."""
    ahead: int | None
    """Batches, or microbatches, made before they are asked for; None: twice the readers."""
    memory_bytes: int | None
    """A split that takes no more is held in memory; None: a quarter of the machine's, shared among the workers."""


def read(
    place: str | os.PathLike[str], *, rank: int = 0, num_workers: int = 1, **options: Unpack[ReadOptions]
) -> Reader:
    """A reader of one split of the record set at a path or URI, to be used in a `with` block. Needs no torch.

        with pileus.read("records/photos", batch_size=64, size=(224, 224), augment={"flip": 0.5}) as reader:
            for epoch in range(10):
                for batch in reader.epoch(epoch):
                    step(torch.from_numpy(batch.images_NHWC), torch.from_numpy(batch.labels_N))

    A batch has `images_NHWC` (uint8), `labels_N`, `positions_N` in the record set, `epoch` and `step`, and `pairs`
    where `augment` mixes samples. It is a pure function of the records, the options, epoch and step: the same wherever
    it is read and by however many `readers`. So `reader.epoch(3, step=17)` goes on in the middle of an epoch, and needs
    nothing but these two numbers. `reader.batches(range(3, 10), step=17)` reads over the ends of epochs.

    Of `num_workers` each reads its own part of every batch; give all the same options and each its `rank`. The parts
    together, in order of rank, are the batch; of a small last batch the last workers may have none.

    The options are those of ReadOptions. Raises SpecError for those that are impossible or unknown, SourceError where
    there is no record set or sizes vary and no `size` is given, Damaged where a record's checksum does not hold.
    """
    sampling, reading = _specs(dict(options), num_workers)
    records = _opened(os.fspath(place))
    if records.shape is None and sampling.size is None:
        raise SourceError(f"images of {records.uri} vary in size; say what is to come out: size=(224, 224).")
    return Reader(records, sampling, reading, rank=rank, num_workers=num_workers)


def _specs(options: dict[str, Any], num_workers: int) -> tuple[Sampling, Reading]:
    known = (*Sampling.__struct_fields__, *Reading.__struct_fields__)
    for name in options:
        if name not in known:
            raise SpecError(f"no option is called {name!r}; {did_you_mean(name, [*known, 'rank', 'num_workers'])}")
    table = _plain(options)
    reading = {name: table.pop(name) for name in Reading.__struct_fields__ if name in table}
    return _cut_for(num_workers, spec_of(table, Sampling)), spec_of(reading, Reading)


def _plain(value: Any) -> Any:
    """Specs as tables, at any depth."""
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return {name: _plain(below) for name, below in value.items()} if isinstance(value, Mapping) else value


def _cut_for(num_workers: int, sampling: Sampling) -> Sampling:
    """With microbatches for all workers. SpecError where there are fewer."""
    size = sampling.microbatch_size
    if size is None and num_workers > 1 and sampling.augment.mix:
        raise SpecError(
            f"samples mix within a microbatch (augment.mix, num_workers={num_workers}); give all workers the same "
            "microbatch_size."
        )
    if size is None:
        size = math.ceil(sampling.batch_size / max(num_workers, 1))
    if num_workers > math.ceil(sampling.batch_size / size):
        raise SpecError(
            f"a batch needs a microbatch for each worker (got num_workers={num_workers}, "
            f"batch_size={sampling.batch_size}, microbatch_size={size}); lower microbatch_size."
        )
    return msgspec.structs.replace(sampling, microbatch_size=size)


def _opened(place: str) -> RecordSet:
    try:
        return open_records(place)
    except (UsageError, StoreError):
        kind = _other_source(place)
        if kind is None:
            raise
        raise SourceError(
            f"pileus.read takes a record set (got {place}, {kind}); write one and read that: "
            f"pileus data write {shlex.quote(place)} DEST"
        ) from None


def _other_source(place: str) -> str | None:
    """The kind of labelled images that a place holds and that are no records yet."""
    if place.startswith("embedded:"):
        return "which is embedded"
    path = local_path(place)
    try:
        kind = detect_kind(path)
    except (SourceError, OSError):
        return None
    return None if kind == record_source.KIND else f"which is of kind {kind}"
