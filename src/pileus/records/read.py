"""A finished record set: columns from the index, images by position, checksums verified on every read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.errors import Damaged, NotFound, StoreError, UsageError
from pileus.records import frame, index, manifest
from pileus.records.example import FORMATS, ImageFormat
from pileus.spec.preprocessing import Preprocessing
from pileus.store import Store, is_remote, open_store
from pileus.store.cache import Cache, CachedStore, Value, default_cache

_WHOLE_SHARD_SHARE = 1 / 8
"""From this share of a shard's bytes on, reading all of it is cheaper than one read a record."""

_head = lru_cache(maxsize=4096)(frame.header)


class RecordSet:
    """N labelled images. Safe for threads, and for other processes: a pickled one is opened anew there."""

    def __init__(self, store: Store, cache: Cache | None = None) -> None:
        """With a cache, shards are read from whole copies of them there."""
        self._manifest = manifest.load(store)
        self._index = index.load(store, self._manifest)
        self._store = store if cache is None else CachedStore(store, cache, _values(self._manifest))

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open_records, (self._store.uri,)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> memoryview:
        """The image's bytes: raw pixels or a picture file, see `format`. Damaged by a wrong checksum."""
        if not 0 <= position < len(self):
            raise IndexError(f"record {position} of {len(self)}")
        (content,) = self._contents(np.array([position]))
        return content

    @property
    def uri(self) -> str:
        return self._store.uri

    @property
    def manifest(self) -> manifest.Manifest:
        return self._manifest

    @property
    def classes(self) -> tuple[str, ...]:
        return self._manifest.classes

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal over the content; the number of shards does not enter."""
        return self._manifest.fingerprint

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(H, W, C) of every image; None where they vary."""
        return self._manifest.shape

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self._manifest.preprocessing

    @property
    def labels(self) -> NDArray[np.int32]:
        """(N,) positions in `classes`."""
        return self._index.label

    @property
    def splits(self) -> NDArray[np.uint8]:
        """(N,) 0 train, 1 validation, 2 test."""
        return self._index.split

    @property
    def keys(self) -> NDArray[np.uint64]:
        """(N,) 64-bit keys of the ids."""
        return self._index.key

    @property
    def all_raw(self) -> bool:
        """Every image is stored as pixels."""
        return not self._index.format.any()

    def id(self, position: int) -> str:
        return self._index.id(position)

    def format(self, position: int) -> ImageFormat:
        return FORMATS[int(self._index.format[position])]

    def shape_at(self, position: int) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        columns = (self._index.height, self._index.width, self._index.channels)
        height, width, channels = (int(column[position]) for column in columns)
        return height, width, channels

    def images(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """(n, H, W, C) uint8 of raw images of one shape, in the order asked for. Each shard is read once.

        UsageError where images vary in shape or are picture files; `pileus.data.resident` decodes those.
        """
        if self.shape is None or not self.all_raw:
            raise UsageError(
                f"images of {self.uri} can be read as one array only where all are raw and of one shape; "
                "write them with: pileus data write --resize HxW"
            )
        wanted = np.asarray(positions, np.int64)
        images_NHWC = np.empty((len(wanted), *self.shape), np.uint8)
        flat = images_NHWC.reshape(len(wanted), math.prod(self.shape))
        for row, content in self.contents(wanted):
            flat[row] = np.frombuffer(content, np.uint8)
        return images_NHWC

    def contents(self, positions: ArrayLike) -> Iterator[tuple[int, memoryview]]:
        """(row, image bytes) for each row of `positions`, shard by shard, each shard read once."""
        wanted = np.asarray(positions, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"records [{wanted.min()}, {wanted.max()}] of {len(self)}")
        shard_of = self._index.shard[wanted]
        for shard in np.unique(shard_of):
            rows = np.flatnonzero(shard_of == shard)
            yield from zip(rows.tolist(), self._contents(wanted[rows]), strict=True)

    def _contents(self, wanted: NDArray[np.int64]) -> Iterator[memoryview]:
        """Verified image bytes of records that lie in one shard."""
        for position, framed in zip(wanted.tolist(), self._framed(wanted), strict=True):
            problem = self._problem(position, framed)
            if problem and self._forgot_copy(position):
                (framed,) = self._framed(np.array([position]))
                problem = self._problem(position, framed)
            if problem:
                raise self._damaged(position, problem)
            start = frame.HEADER_BYTES + int(self._index.image_offset[position])
            yield memoryview(framed)[start : start + int(self._index.image_length[position])]

    def _problem(self, position: int, framed: bytes) -> str | None:
        """What is wrong with a record's frame, in words."""
        length, crc = int(self._index.length[position]), int(self._index.data_crc[position])
        if framed[: frame.HEADER_BYTES] != _head(length):
            return "its length or the checksum of its length does not hold"
        data = framed[frame.HEADER_BYTES : frame.HEADER_BYTES + length]
        if frame.crc32c(data) != crc or framed[frame.HEADER_BYTES + length :] != frame.footer(crc):
            return "the checksum of its data does not hold"
        return None

    def _forgot_copy(self, position: int) -> bool:
        """A damaged copy is no damage of the set: it is thrown away, where there is one, and fetched again."""
        shard = self._manifest.shards[int(self._index.shard[position])]
        return isinstance(self._store, CachedStore) and self._store.forget(shard.name)

    def _framed(self, wanted: NDArray[np.int64]) -> Iterator[bytes]:
        """The frames of records that lie in one shard: by one read of the shard, or one each."""
        shard = self._manifest.shards[int(self._index.shard[wanted[0]])]
        starts = self._index.offset[wanted].astype(np.int64)
        stops = starts + self._index.length[wanted] + frame.OVERHEAD_BYTES
        ranges = list(zip(starts.tolist(), stops.tolist(), strict=True))
        if len(wanted) == 1 or int((stops - starts).sum()) < shard.size_bytes * _WHOLE_SHARD_SHARE:
            yield from self._ranges(shard.name, ranges, wanted)
            return
        try:
            (whole,) = self._store.get_ranges(shard.name, [(0, shard.size_bytes)])
        except StoreError:
            yield from self._ranges(shard.name, ranges, wanted)
            return
        for start, stop in ranges:
            yield whole[start:stop]

    def _ranges(self, name: str, ranges: list[tuple[int, int]], wanted: NDArray[np.int64]) -> list[bytes]:
        """As `Store.get_ranges`; where that fails, Damaged names the first record that cannot be had."""
        try:
            return self._store.get_ranges(name, ranges)
        except NotFound as error:
            raise self._damaged(int(wanted[0]), "its shard is missing") from error
        except StoreError as error:
            if len(ranges) == 1:
                raise self._damaged(int(wanted[0]), f"it cannot be read: {error}") from error
        return [self._ranges(name, ranges[n : n + 1], wanted[n : n + 1])[0] for n in range(len(ranges))]

    def _damaged(self, position: int, what: str) -> Damaged:
        shard = int(self._index.shard[position])
        number = position - int(np.searchsorted(self._index.shard, shard))
        return Damaged(
            f"record {number} of {self._manifest.shards[shard].name} (record {position} of the set), at byte "
            f"{self._index.offset[position]}, is damaged: {what}.\n"
            f"List all damage: pileus data verify {self.uri}"
        )


def open_records(place: str, *, cached: bool = True) -> RecordSet:
    """The record set at a path or URI; shards of a remote one are kept in the user's cache, where `cached`.

    SourceError where there is none or it was not finished; Damaged where its index or manifest is.
    """
    store = open_store(place)
    return RecordSet(store, default_cache() if cached and is_remote(store.uri) else None)


def _values(described: manifest.Manifest) -> dict[str, Value]:
    """By key, what a copy of each shard must be."""
    return {shard.name: Value(str(shard.crc), shard.size_bytes, _has_crc(shard.crc)) for shard in described.shards}


def _has_crc(crc: int) -> Callable[[bytes], bool]:
    return lambda content: frame.crc32c(content) == crc
