"""A labelled source into a record set: plan the shards, pack each from its range of the source, finish.

A shard depends on (source, range, options) alone: packed in any order and by anyone, its bytes are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pileus.data.decode import decode, resized
from pileus.data.ports import Encoded, Sample, Source
from pileus.data.splits import settled_split
from pileus.errors import SourceError, UsageError
from pileus.records import manifest
from pileus.records.example import Example, ImageFormat
from pileus.records.index import INDEX_KEY
from pileus.records.write import Entry, ShardPart, finish, write_shard
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from pileus.store import Store, open_store

MIN_SHARD_BYTES = 1 << 10
MAX_SHARD_BYTES = 1 << 30
MAX_SIDE = 8192
_SIZED_SAMPLES = 64
_PROGRESS_SAMPLES = 200
_RECORD_OVERHEAD_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """UsageError for impossible values."""

    shard_size_bytes: int = 64 << 20
    """About how large a shard is; all hold as many records, give or take one."""
    resize: tuple[int, int] | None = None
    """(H, W) pixels; None: pictures as they are."""
    channels: Literal[1, 3] | None = None
    """None: as they are, and 3 where photographs are resized."""
    validation: float = 0.0
    """Share in [0, 1) of given training samples to move to validation."""

    def __post_init__(self) -> None:
        if not MIN_SHARD_BYTES <= self.shard_size_bytes <= MAX_SHARD_BYTES:
            raise UsageError(f"a shard has {MIN_SHARD_BYTES} to {MAX_SHARD_BYTES} bytes (got {self.shard_size_bytes}).")
        if self.resize is not None and not all(1 <= side <= MAX_SIDE for side in self.resize):
            raise UsageError(f"pictures can be resized to 1 to {MAX_SIDE} pixels a side (got {self.resize}).")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (colour) (got {self.channels}).")
        if not 0 <= self.validation < 1:
            raise UsageError(f"the validation share must be in [0, 1) (got {self.validation}).")


@dataclass(frozen=True, kw_only=True)
class WriteSummary:
    """What lies at `uri` now."""

    uri: str
    manifest: manifest.Manifest
    written: bool
    """False: an equal set was there already, and nothing was done."""


def write_records(
    source: Source,
    dest: str,
    *,
    options: WriteOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> WriteSummary:
    """Write all samples of the source, in its order. `progress` is told (samples done, samples).

    UsageError where `dest` holds something else; SourceError for bad samples; StoreError for a full disk and
    the like, after which nothing at `dest` reads as a record set.
    """
    options = options or WriteOptions()
    if len(source) == 0:
        raise SourceError(f"the {source.kind} source has no samples; check the path.")
    store = open_store(dest)
    origin = _origin(source, options)
    present = _present(store, origin)
    if present is not None:
        return WriteSummary(uri=store.uri, manifest=present, written=False)
    ranges = plan_shards(source, options)
    names = [manifest.shard_key(number, len(ranges)) for number in range(len(ranges))]
    _remove_leftovers(store, names)
    parts = [
        pack_range(source, samples, store, name, options, progress) for samples, name in zip(ranges, names, strict=True)
    ]
    progress(len(source), len(source))
    described = finish(
        store, parts, classes=source.classes, preprocessing=_preprocessing(source, options), origin=origin
    )
    return WriteSummary(uri=store.uri, manifest=described, written=True)


def plan_shards(source: Source, options: WriteOptions) -> list[range]:
    """Ranges of the source, one a shard, of equal length give or take one.

    The size of a record is the mean over samples spread evenly; the same source and options give the same
    plan.
    """
    sized = np.unique(np.linspace(0, len(source) - 1, min(len(source), _SIZED_SAMPLES)).astype(np.int64))
    sizes = [_size_bytes(_entry(source[int(position)], source.classes, options)) for position in sized]
    total = len(source) * (sum(sizes) / len(sizes))
    num_shards = min(len(source), max(1, round(total / options.shard_size_bytes)))
    bounds = [len(source) * number // num_shards for number in range(num_shards + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


def pack_range(
    source: Source,
    samples: range,
    store: Store,
    name: str,
    options: WriteOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShardPart:
    """Write the shard that holds these samples; `progress` is told (samples before, samples in all)."""

    def entries() -> Iterator[Entry]:
        for position in samples:
            if position % _PROGRESS_SAMPLES == 0:
                progress(position, len(source))
            yield _entry(source[position], source.classes, options)

    return write_shard(store, name, entries())


def _entry(sample: Sample, classes: tuple[str, ...], options: WriteOptions) -> Entry:
    if not 0 <= sample.label < len(classes):
        raise SourceError(f"labels must be in [0, {len(classes)}) ({sample.id} has {sample.label}).")
    content, image_format, shape = _image(sample, options)
    height, width, channels = shape
    text = classes[sample.label]
    example = Example(content, image_format, height, width, channels, sample.label, text, sample.id)
    return Entry(example, int(settled_split(sample.split, sample.id, options.validation)))


def _image(sample: Sample, options: WriteOptions) -> tuple[bytes, ImageFormat, tuple[int, ...]]:
    """A JPEG that need not change is kept, all else becomes pixels; all are decoded, and bad ones show."""
    channels = options.channels or (3 if options.resize and isinstance(sample.image, Encoded) else None)
    if not isinstance(sample.image, Encoded):
        image_HWC = resized(sample.image, size=options.resize, channels=channels)
        return image_HWC.tobytes(), "raw", image_HWC.shape
    image_HWC = decode(sample.image.content, sample.id, size=options.resize, channels=channels)
    if sample.image.format == "jpeg" and options.resize is None and options.channels is None:
        return sample.image.content, "jpeg", image_HWC.shape
    return image_HWC.tobytes(), "raw", image_HWC.shape


def _size_bytes(entry: Entry) -> int:
    return len(entry.example.image) + len(entry.example.id) + _RECORD_OVERHEAD_BYTES


def _preprocessing(source: Source, options: WriteOptions) -> Preprocessing | None:
    """How raw input becomes an image like those in the set; None where sizes vary."""
    own = source.preprocessing
    if own is None:
        return (
            Picture(height=options.resize[0], width=options.resize[1], channels=options.channels or 3)
            if options.resize
            else None
        )
    height, width = options.resize or (own.height, own.width)
    channels = options.channels or own.channels
    if (height, width, channels) == (own.height, own.width, own.channels):
        return own
    if isinstance(own, Drawing) and channels == 1 and height * own.width == width * own.height:
        scale = height / own.height
        return Drawing(height=height, width=width, box=own.box * scale, stroke_width=own.stroke_width * scale)
    return Picture(height=height, width=width, channels=channels)


def _origin(source: Source, options: WriteOptions) -> manifest.Origin:
    return manifest.Origin(
        kind=source.kind,
        fingerprint=source.fingerprint,
        shard_size_bytes=options.shard_size_bytes,
        resize=options.resize,
        channels=options.channels,
        validation=options.validation,
    )


def _present(store: Store, origin: manifest.Origin) -> manifest.Manifest | None:
    """An equal set that is there already. What a killed write left is no hindrance; anything else is refused."""
    keys = store.list()
    described = manifest.find(store)
    if described is not None:
        missing = {shard.name for shard in described.shards} - set(keys)
        if described.origin != origin:
            raise UsageError(
                f"{store.uri} holds another record set already (from {described.origin.kind} "
                f"{described.origin.fingerprint[:12]} or with other options); choose another or delete it."
            )
        if missing:
            raise UsageError(f"{store.uri} lacks {min(missing)} of its shards; delete it and write it again.")
        return described
    foreign = [key for key in keys if not manifest.SHARD_KEY.fullmatch(key) and key != INDEX_KEY]
    if foreign:
        raise UsageError(f"{store.uri} must be empty or new (it holds {foreign[0]!r}); choose another place.")
    return None


def _remove_leftovers(store: Store, names: list[str]) -> None:
    """Shards of a killed write that was planned otherwise. Those of this plan stay: an equal write may be under way."""
    for key in store.list("shard-"):
        if manifest.SHARD_KEY.fullmatch(key) and key not in names:
            store.delete(key)
