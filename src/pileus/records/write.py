"""Records into shards, shard by shard; then the index; then, last, the manifest that makes them a set.

`write_shard` depends on its own records alone, so that shards may be written in any order and place. A killed
write leaves shards without a manifest, which nothing reads as a set; the next write of the same keeps those that are
whole, which their parts tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pileus.errors import AlreadyExists, SourceError
from pileus.records import index, manifest, part
from pileus.records.example import SPLITS, Example
from pileus.records.part import ShardPart
from pileus.spec.preprocessing import Picture, Preprocessing
from pileus.spec.values import canonical_json
from pileus.store import Store
from pileus.store.files import FileStore

_CHUNK_BYTES = 1 << 19


def write_shard(store: Store, name: str, examples: Iterable[Example], plan: str = "") -> ShardPart:
    """Encode the records, put them as one value with what lies beside it. A folder takes them as they come; for any
    other store one shard is held in memory.

    `plan` says what the shard was made from, and how: see `part.kept`.
    """
    shard = part.ShardBuilder(name)
    if isinstance(store, FileStore):
        store.put_chunks(name, _chunks(shard, examples))
    else:
        store.put(name, b"".join(map(bytes, _chunks(shard, examples))))
    written = shard.finish()
    store.put(manifest.offsets_key(name), part.offsets_text(written.columns))
    part.keep(store, written, plan)
    return written


def _chunks(shard: part.ShardBuilder, examples: Iterable[Example]) -> Iterator[memoryview]:
    """The file's bytes, each chunk valid until the next is asked for."""
    for example in examples:
        shard.add(example)
        if shard.filled >= _CHUNK_BYTES:
            yield shard.take()
    yield shard.take()


def finish(
    store: Store,
    parts: Sequence[ShardPart],
    *,
    classes: tuple[str, ...],
    preprocessing: Preprocessing | None,
    origin: manifest.Origin,
) -> manifest.Manifest:
    """Write index and manifest of shards that are in place, and remove their parts.

    `preprocessing` None: pictures of the shape that all records have, where they have one. AlreadyExists where another
    writer finished another set there meanwhile; an equal one is as good.
    """
    described, content = describe(parts, classes=classes, preprocessing=preprocessing, origin=origin)
    store.put(described.index, content)
    encoded = manifest.encode(described)
    try:
        store.put(manifest.MANIFEST_KEY, encoded, if_absent=True)
    except AlreadyExists as error:
        if store.get(manifest.MANIFEST_KEY).content != encoded:
            raise AlreadyExists(
                f"{store.uri} was finished by another writer meanwhile; check it: pileus data verify {store.uri}"
            ) from error
    for each in parts:
        store.delete(manifest.part_key(each.shard.name))
    return manifest.decode(encoded, store.uri)


def describe(
    parts: Sequence[ShardPart],
    *,
    classes: tuple[str, ...],
    preprocessing: Preprocessing | None,
    origin: manifest.Origin | None,
    index_key: str = manifest.INDEX_KEY,
    dropped: int = 0,
) -> tuple[manifest.Manifest, bytes]:
    """The manifest of these shards and the bytes of their index. SourceError where ids are not unique."""
    whole = index.joined([each.columns for each in parts])
    _check_ids(whole)
    shape = shape_of(whole)
    if preprocessing is None and shape is not None:
        preprocessing = Picture(height=shape[0], width=shape[1], channels=1 if shape[2] == 1 else 3)
    content = index.encode(whole)
    counts = np.bincount(whole.split, minlength=len(SPLITS))
    described = manifest.Manifest(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        fingerprint=fingerprint(classes, preprocessing, b"".join(each.digests for each in parts)),
        classes=classes,
        records=len(whole),
        splits=dict(zip(SPLITS, counts.tolist(), strict=True)),
        shape=shape,
        preprocessing=preprocessing,
        shards=tuple(each.shard for each in parts),
        index=index_key,
        index_checksum=index.checksum_of(content),
        origin=origin,
        dropped=dropped,
    )
    return described, content


def fingerprint(classes: tuple[str, ...], preprocessing: Preprocessing | None, digests: bytes) -> str:
    """SHA-256 over the content of a set, whatever its shards."""
    head = canonical_json({"version": manifest.VERSION, "classes": classes, "preprocessing": preprocessing})
    return hashlib.sha256(head + digests).hexdigest()


def shape_of(whole: index.Index) -> tuple[int, int, int] | None:
    """(H, W, C) where all records have the same."""
    columns = (whole.height, whole.width, whole.channels)
    if any((column != column[0]).any() for column in columns):
        return None
    height, width, channels = (int(column[0]) for column in columns)
    return height, width, channels


def _check_ids(whole: index.Index) -> None:
    """Ids, and their 64-bit keys, must tell all samples apart."""
    order = np.argsort(whole.key, kind="stable")
    same = np.flatnonzero(np.diff(whole.key[order]) == 0)
    if len(same):
        first, second = int(order[same[0]]), int(order[same[0] + 1])
        raise SourceError(
            f"sample ids must be unique (rows {first + 1} and {second + 1} have {whole.id(first)!r} and "
            f"{whole.id(second)!r}, one of {len(same)} such pairs); remove or rename the duplicates."
        )
