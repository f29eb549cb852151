"""A finished record set: columns from the index, images by position, checksums verified on every read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.errors import Damaged, NotFound, StoreError, UsageError
from pileus.records import frame, index, manifest
from pileus.records.example import FORMATS, ImageFormat
from pileus.records.mapped import MappedImages
from pileus.spec.preprocessing import Preprocessing
from pileus.store import Store, is_remote, open_store
from pileus.store.cache import Cache, CachedStore, Value, default_cache
from pileus.store.files import FileStore

_HELD_BYTES = 8 << 20
"""Of records that are read together."""
_GAP_BYTES = 4096
"""Records no farther apart are read as one piece: reading so little more costs less than asking again."""

_head = lru_cache(maxsize=4096)(frame.header)


class RecordSet:
    """N labelled images. Safe for threads, and for other processes: a pickled one is opened anew there."""

    def __init__(self, store: Store, cache: Cache | None = None) -> None:
        """With a cache, shards are read from whole copies of them there."""
        self._manifest = manifest.load(store)
        self._index = index.load(store, self._manifest)
        self._store = store if cache is None else CachedStore(store, cache, _values(self._manifest))

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return partial(open_records, cached=isinstance(self._store, CachedStore)), (self._store.uri,)

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
    def channels(self) -> int:
        """3 where any image has three, else 1."""
        return int(self._index.channels.max(initial=1))

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

    def sides(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Heights and widths of these images, (n,) each."""
        wanted = np.asarray(positions, np.int64)
        return self._index.height[wanted].astype(np.int64), self._index.width[wanted].astype(np.int64)

    def images(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """(n, H, W, C) uint8 of raw images of one shape, in the order asked for.

        UsageError where images vary in shape or are picture files; `pileus.data.pixels` decodes those.
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
        """(row, image bytes) for each row of `positions`, as records lie in the shards; some MiB are held at a time."""
        wanted = np.asarray(positions, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"records [{wanted.min()}, {wanted.max()}] of {len(self)}")
        shard_of = self._index.shard[wanted]
        if isinstance(self._store, CachedStore):
            self._store.want(self._manifest.shards[shard].name for shard in np.unique(shard_of).tolist())
        rows = np.lexsort((self._index.offset[wanted], shard_of))
        read_before = np.cumsum(self._index.length[wanted[rows]], dtype=np.int64) // _HELD_BYTES
        breaks = np.flatnonzero((np.diff(shard_of[rows]) != 0) | (np.diff(read_before) != 0)) + 1
        for group in np.split(rows, breaks) if len(rows) else []:
            yield from zip(group.tolist(), self._contents(wanted[group]), strict=True)

    def mapped(self, positions: ArrayLike) -> MappedImages | None:
        """Raw images of one shape where they lie, every checksum verified first; None where that cannot be.

        It can where shards are files of this machine: processes that map them share their memory.
        """
        if self.shape is None or not self.all_raw or not isinstance(self._store, FileStore):
            return None
        wanted = np.asarray(positions, np.int64)
        for _ in self.contents(wanted):
            pass
        starts_N = self._index.offset[wanted].astype(np.int64) + frame.HEADER_BYTES + self._index.image_offset[wanted]
        shards = [self._store.root / shard.name for shard in self._manifest.shards]
        return MappedImages(shards, self._index.shard[wanted], starts_N, self.shape)

    def _contents(self, wanted: NDArray[np.int64]) -> Iterator[memoryview]:
        """Verified image bytes of records that lie in one shard, by their places in it."""
        for position, framed in zip(wanted.tolist(), self._framed(wanted), strict=True):
            problem = self._problem(position, framed)
            if problem and self._forgot_copy(position):
                (framed,) = self._framed(np.array([position]))
                problem = self._problem(position, framed)
            if problem:
                raise self._damaged(position, problem)
            start = frame.HEADER_BYTES + int(self._index.image_offset[position])
            yield framed.data[start : start + int(self._index.image_length[position])]

    def _problem(self, position: int, framed: NDArray[np.uint8]) -> str | None:
        """What is wrong with a record's frame, in words."""
        length, crc = int(self._index.length[position]), int(self._index.data_crc[position])
        end = frame.HEADER_BYTES + length
        if framed[: frame.HEADER_BYTES].tobytes() != _head(length):
            return "its length or the checksum of its length does not hold"
        if frame.crc32c(framed[frame.HEADER_BYTES : end]) != crc or framed[end:].tobytes() != frame.footer(crc):
            return "the checksum of its data does not hold"
        return None

    def _forgot_copy(self, position: int) -> bool:
        """A damaged copy is no damage of the set: it is thrown away, where there is one, and fetched again."""
        shard = self._manifest.shards[int(self._index.shard[position])]
        return isinstance(self._store, CachedStore) and self._store.forget(shard.name)

    def _framed(self, wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        """The frames of records that lie in one shard, by their places in it; neighbours are read as one."""
        starts = self._index.offset[wanted].astype(np.int64)
        stops = starts + self._index.length[wanted] + frame.OVERHEAD_BYTES
        firsts = np.flatnonzero(np.append(True, starts[1:] - stops[:-1] > _GAP_BYTES))
        ranges = list(zip(starts[firsts].tolist(), np.maximum.reduceat(stops, firsts).tolist(), strict=True))
        try:
            parts = self._store.get_ranges(self._manifest.shards[int(self._index.shard[wanted[0]])].name, ranges)
        except StoreError:
            yield from map(self._alone, wanted.tolist())
            return
        run_of = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(wanted))))
        runs = [np.frombuffer(part, np.uint8) for part in parts]
        for run, start, stop in zip(run_of.tolist(), starts.tolist(), stops.tolist(), strict=True):
            yield runs[run][start - ranges[run][0] : stop - ranges[run][0]]

    def _alone(self, position: int) -> NDArray[np.uint8]:
        """One record's frame, or Damaged, which names it."""
        start = int(self._index.offset[position])
        stop = start + int(self._index.length[position]) + frame.OVERHEAD_BYTES
        shard = self._manifest.shards[int(self._index.shard[position])]
        try:
            return np.frombuffer(self._store.get_ranges(shard.name, [(start, stop)])[0], np.uint8)
        except NotFound as error:
            raise self._damaged(position, "its shard is missing") from error
        except StoreError as error:
            raise self._damaged(position, f"it cannot be read: {error}") from error

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
    return {shard.name: Value(shard.size_bytes, shard.crc) for shard in described.shards}
