"""A labelled source into a record set: plan the shards, pack each from its range of the source, finish."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pileus.data.encode import are_files_kept
from pileus.data.options import WriteOptions
from pileus.data.packing import Division, Map, Packers, Packing, Piece, Progress, example_of, pack
from pileus.data.ports import Source
from pileus.data.sources.files import FileSource
from pileus.data.sources.records import RecordSource
from pileus.errors import SourceError, UsageError
from pileus.records import manifest
from pileus.records.example import Example
from pileus.records.part import ShardPart
from pileus.records.write import finish
from pileus.spec.preprocessing import Drawing, Picture, Preprocessing
from pileus.spec.values import canonical_json, digest
from pileus.store import Store, open_store

__all__ = ["Division", "WriteOptions", "WriteSummary", "write_records"]

_SIZED_SAMPLES = 64
_RECORD_OVERHEAD_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class WriteSummary:
    """What lies at `uri` now."""

    uri: str
    manifest: manifest.Manifest
    written: bool
    """False: an equal set was there already, and nothing was done."""
    partitions: int = 0
    """That its shards were packed in."""


def write_records(
    source: Source,
    dest: str,
    *,
    options: WriteOptions | None = None,
    workers: Map | None = None,
    division: Division | None = None,
    progress: Progress = lambda done, total, size_bytes: None,
) -> WriteSummary:
    """Write all samples of the source, in its order; the bytes do not depend on who packs the shards, and how divided.

    `workers` pack them, and then the source must pickle and the store be within their reach; None: this process.
    UsageError where `dest` holds something else; SourceError for bad samples; StoreError for a full disk and the like,
    after which nothing at `dest` reads as a record set, and whole shards are kept for the next write.
    """
    options, division = options or WriteOptions(), division or Division()
    if isinstance(source, RecordSource) and not division.cache:
        source = source.uncached()
    if len(source) == 0:
        raise SourceError(f"the {source.kind} source has no samples; check the path.")
    store = open_store(dest)
    present = _present(store, source, options)
    if present is not None:
        _remove_leftovers(store, [shard.name for shard in present.shards], present)
        return WriteSummary(uri=store.uri, manifest=present, written=False)
    pieces = plan_shards(source, options)
    _remove_leftovers(store, [piece.name for piece in pieces])
    known = source.outline if isinstance(source, FileSource) else source.fingerprint
    plan = digest(canonical_json(_origin(source, options, known)))
    packing = Packing(source=source, options=options, uri=store.uri, plan=plan)
    partitions = division.partitions_of(pieces)
    parts = pack(packing, partitions, Packers(workers, division), progress)
    described = finish(
        store,
        parts,
        classes=source.classes,
        preprocessing=_preprocessing(source, options),
        origin=_origin(source, options, _fingerprint(source, options, parts)),
    )
    return WriteSummary(uri=store.uri, manifest=described, written=True, partitions=len(partitions))


def _fingerprint(source: Source, options: WriteOptions, parts: Sequence[ShardPart]) -> str:
    """Of the source. Where its files were stored as they are, their digests are known and need not be read again."""
    formats = np.concatenate([part.columns.format for part in parts])
    if not isinstance(source, FileSource) or not are_files_kept(options, formats):
        return source.fingerprint
    sizes = np.concatenate([part.columns.image_length for part in parts])
    return source.fingerprint_of(sizes.tolist(), b"".join(part.image_digests for part in parts))


def plan_shards(source: Source, options: WriteOptions) -> list[Piece]:
    """Ranges of the source, one a shard, of equal length give or take one.

    The size of a record is the mean over samples spread evenly; the same source and options give the same
    plan.
    """
    num_shards = min(len(source), options.num_shards or _num_shards(source, options))
    bounds = [len(source) * number // num_shards for number in range(num_shards + 1)]
    return [
        Piece(manifest.shard_key(number, num_shards), range(start, stop))
        for number, (start, stop) in enumerate(itertools.pairwise(bounds))
    ]


def _num_shards(source: Source, options: WriteOptions) -> int:
    sized = np.unique(np.linspace(0, len(source) - 1, min(len(source), _SIZED_SAMPLES)).astype(np.int64))
    sizes = [_size_bytes(example_of(source[int(position)], source.classes, options)) for position in sized]
    total = len(source) * (sum(sizes) / len(sizes))
    return max(1, round(total / options.shard_size_bytes))


def _size_bytes(example: Example) -> int:
    return len(example.image) + len(example.id) + _RECORD_OVERHEAD_BYTES


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


def _origin(source: Source, options: WriteOptions, fingerprint: str) -> manifest.Origin:
    return manifest.Origin(
        kind=source.kind,
        fingerprint=fingerprint,
        shard_size_bytes=options.shard_size_bytes,
        resize=options.resize,
        channels=options.channels,
        validation=options.validation,
        encode=options.encode,
        quality=options.quality,
        num_shards=options.num_shards,
    )


def _present(store: Store, source: Source, options: WriteOptions) -> manifest.Manifest | None:
    """An equal set that is there already. What a killed write left is no hindrance; anything else is refused."""
    keys = store.list()
    described = manifest.find(store)
    if described is None:
        foreign = [key for key in keys if not manifest.is_own(key)]
        if foreign:
            raise UsageError(f"{store.uri} must be empty or new (it holds {foreign[0]!r}); choose another place.")
        return None
    if described.origin != _origin(source, options, source.fingerprint):
        before = described.origin
        whence = f"from {before.kind} {before.fingerprint[:12]} or with other options" if before else "repaired"
        raise UsageError(f"{store.uri} holds another record set already ({whence}); choose another or delete it.")
    missing = {shard.name for shard in described.shards} - set(keys)
    if missing or described.dropped:
        lacks = f"lacks {min(missing)} of its shards" if missing else f"lost {described.dropped} records to a repair"
        way_out = "repair it: pileus data repair DEST --from SOURCE" if missing else "delete it and write it again"
        raise UsageError(f"{store.uri} {lacks}; {way_out}.")
    return described


def _remove_leftovers(store: Store, names: Sequence[str], described: manifest.Manifest | None = None) -> None:
    """What writes that were killed left, but for what this plan can use: an equal write may be under way."""
    kept = {*names, manifest.MANIFEST_KEY, described.index if described else manifest.INDEX_KEY}
    kept.update(manifest.offsets_key(name) for name in names)
    if described is None:
        kept.update(manifest.part_key(name) for name in names)
    for key in store.list():
        if manifest.is_own(key) and key not in kept:
            store.delete(key)
