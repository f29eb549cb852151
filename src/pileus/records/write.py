"""Records into shards, shard by shard; then the index; then, last, the manifest that makes them a set.

`write_shard` depends on its own records alone, so that shards may be written in any order and place. A killed
write leaves shards without a manifest, which nothing reads as a set and the next write replaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.errors import AlreadyExists, SourceError
from pileus.records import example as examples
from pileus.records import frame, index, manifest
from pileus.spec.preprocessing import Picture, Preprocessing
from pileus.spec.values import canonical_json
from pileus.store import Store

_DIGEST_BYTES = 16


class Entry(NamedTuple):
    """One record to write. `split`: 0 train, 1 validation, 2 test."""

    example: examples.Example
    split: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardPart:
    """What the index and the manifest need to know of a shard that was written."""

    shard: manifest.Shard
    columns: dict[str, NDArray[np.generic]]
    """The index columns of its records, but for `shard` and the ids."""
    ids: list[str]
    digests: bytes
    """BLAKE2b-128 of each record's data, one after the other."""


_ROW = (
    "offset length image_offset image_length label split height width channels format key data_crc".split()  # noqa: SIM905
)


def write_shard(store: Store, name: str, entries: Iterable[Entry]) -> ShardPart:
    """Encode the records, put them as one value, and describe it. Holds one shard in memory."""
    content, rows, ids, digests = bytearray(), [], [], []
    for entry in entries:
        data, image_offset = examples.encode(entry.example)
        crc = frame.crc32c(data)
        one = entry.example
        place = (len(content), len(data), image_offset, len(one.image))
        what = (
            one.label,
            entry.split,
            one.height,
            one.width,
            one.channels,
            examples.FORMATS.index(one.format),
        )
        rows.append((*place, *what, index.key_of(one.id), crc))
        ids.append(one.id)
        digests.append(record_digest(data))
        content += frame.header(len(data))
        content += data
        content += frame.footer(crc)
    whole = bytes(content)
    store.put(name, whole)
    columns: dict[str, NDArray[np.generic]] = {
        column: np.array(values, index.DTYPES[column])
        for column, values in zip(_ROW, zip(*rows, strict=True), strict=True)
    }
    shard = manifest.Shard(name=name, records=len(rows), size_bytes=len(whole), crc=frame.crc32c(whole))
    return ShardPart(shard=shard, columns=columns, ids=ids, digests=b"".join(digests))


def finish(
    store: Store,
    parts: Sequence[ShardPart],
    *,
    classes: tuple[str, ...],
    preprocessing: Preprocessing | None,
    origin: manifest.Origin,
) -> manifest.Manifest:
    """Write index and manifest of shards that are in place.

    `preprocessing` None: pictures of the shape that all records have, where they have one. AlreadyExists where another
    writer finished another set there meanwhile; an equal one is as good.
    """
    whole = _joined(parts)
    _check_ids(whole)
    shape = shape_of(whole)
    if preprocessing is None and shape is not None:
        preprocessing = Picture(height=shape[0], width=shape[1], channels=1 if shape[2] == 1 else 3)
    content = index.encode(whole)
    store.put(index.INDEX_KEY, content)
    counts = np.bincount(whole.split, minlength=len(manifest.SPLITS))
    described = manifest.Manifest(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        fingerprint=fingerprint(classes, preprocessing, whole.split, b"".join(part.digests for part in parts)),
        classes=classes,
        records=len(whole),
        splits=dict(zip(manifest.SPLITS, counts.tolist(), strict=True)),
        shape=shape,
        preprocessing=preprocessing,
        shards=tuple(part.shard for part in parts),
        index_checksum=index.checksum_of(content),
        origin=origin,
    )
    encoded = manifest.encode(described)
    try:
        store.put(manifest.MANIFEST_KEY, encoded, if_absent=True)
    except AlreadyExists as error:
        if store.get(manifest.MANIFEST_KEY).content != encoded:
            raise AlreadyExists(
                f"{store.uri} was finished by another writer meanwhile; check it: pileus data verify {store.uri}"
            ) from error
    return manifest.decode(encoded, store.uri)


def record_digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def fingerprint(
    classes: tuple[str, ...], preprocessing: Preprocessing | None, split: NDArray[np.uint8], digests: bytes
) -> str:
    """SHA-256 over the content of a set, whatever its shards."""
    head = canonical_json({"version": manifest.VERSION, "classes": classes, "preprocessing": preprocessing})
    return hashlib.sha256(head + split.tobytes() + digests).hexdigest()


def shape_of(whole: index.Index) -> tuple[int, int, int] | None:
    """(H, W, C) where all records have the same."""
    columns = (whole.height, whole.width, whole.channels)
    if any((column != column[0]).any() for column in columns):
        return None
    height, width, channels = (int(column[0]) for column in columns)
    return height, width, channels


def _joined(parts: Sequence[ShardPart]) -> index.Index:
    columns: dict[str, NDArray[np.generic]] = {
        name: np.concatenate([part.columns[name] for part in parts]) for name in _ROW
    }
    columns["shard"] = np.repeat(np.arange(len(parts), dtype=np.uint32), [part.shard.records for part in parts])
    starts, text = index.id_table([sample_id for part in parts for sample_id in part.ids])
    return index.Index(id_start=starts, id_text=text, **columns)  # type: ignore[arg-type]  # dtypes come from index.DTYPES


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
