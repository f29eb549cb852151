"""What each part of reading can do alone, on this machine and now: the store, the decoder, the hand-over.

A cell of the study cannot be faster than the slowest of its parts; how near it comes says whether the parts overlap.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bench.reading import cold
from pileus.bench.reading.design import CacheState, Factors, Format, Place
from pileus.bench.reading.files import SIZES_KEY, FilesOneByOne, file_key, file_sizes
from pileus.bench.reading.opening import WrittenSet, content_paths, open_set
from pileus.bench.reading.stores import MeasuredStore
from pileus.data.feed import Feed
from pileus.data.order import permutation
from pileus.data.pixels import Images, Originals, open_pixels
from pileus.records.read import RecordSet, open_records
from pileus.spec.values import Spec
from pileus.store import open_store
from pileus.store.cache import FETCHERS
from pileus.store.memory import MemoryStore

_PIECE_BYTES = 4 << 20
_LATE_FILES = 48
"""Of a store that answers late, so many files tell its rate."""
_DECODED, _DECODED_TOGETHER = 128, 16
_LEAST_S = 0.2
"""For what can be done over and over again."""
_ROUNDS = 3
"""Of decoding and handing over the best is kept: a ceiling is what can be done while nothing else is."""
_HANDED_OVER = 64
"""Batches."""


class StoreCeiling(Spec, frozen=True, kw_only=True):
    """Bytes of images alone, neither decoded nor batched."""

    format: Format
    pixels: int
    store: str
    cache: CacheState
    readers: int
    images_per_s: float
    bytes_per_s: float


class DecodeCeiling(Spec, frozen=True, kw_only=True):
    """From bytes in memory to rows of a batch, by threads that hand nothing over."""

    pixels: int
    readers: int
    images_per_s: float


class HandoverCeiling(Spec, frozen=True, kw_only=True):
    """Batches of zeros, made and handed over by reader threads."""

    pixels: int
    batch_size: int
    readers: int
    images_per_s: float


class Ceilings(Spec, frozen=True, kw_only=True):
    stores: tuple[StoreCeiling, ...]
    decoders: tuple[DecodeCeiling, ...]
    handovers: tuple[HandoverCeiling, ...]


class SetName(NamedTuple):
    """Which of a study's sets."""

    pixels: int
    remote: bool


Sets = Mapping[SetName, WrittenSet]
"""Those of this machine are there of every size."""


def measure_ceilings(factors: Factors, sets: Sets) -> Ceilings:
    """Some seconds in all. Page cache and shards are left in the state that was looked at last."""
    stores = itertools.product(factors.format, factors.pixels, factors.store, factors.cache, factors.readers)
    handovers = itertools.product(factors.pixels, factors.batch_size, factors.readers)
    shapes = {pixels: image_shape(sets[SetName(pixels, False)]) for pixels in factors.pixels}
    return Ceilings(
        stores=tuple(store_alone(sets, *levels) for levels in stores),
        decoders=tuple(
            DecodeCeiling(
                pixels=pixels, readers=readers, images_per_s=decode_rate(sets[SetName(pixels, False)], readers)
            )
            for pixels, readers in itertools.product(factors.pixels, factors.readers)
        ),
        handovers=tuple(
            HandoverCeiling(
                pixels=pixels,
                batch_size=batch_size,
                readers=readers,
                images_per_s=handover_rate(shapes[pixels], batch_size, readers),
            )
            for pixels, batch_size, readers in handovers
        ),
    )


def store_alone(sets: Sets, form: Format, pixels: int, place: Place, cache: CacheState, readers: int) -> StoreCeiling:
    """Shards from end to end, files in a drawn order, by the threads that the cell has for it.

    Where whole shards are kept, the warm ones are files of this machine, and the cold ones come by as many threads as
    fetch them.
    """
    is_kept = place.is_cached and form == "shards"
    asked = Place() if is_kept and cache == "warm" else place
    written = sets[SetName(pixels, asked.remote)]
    store = MeasuredStore(open_store(written.at(form)), asked.latency_ms / 1000)
    pieces = _shard_pieces(written) if form == "shards" else _file_pieces(written, late=place.is_cached)
    paths = content_paths(written, form)
    (cold.forget if cache == "cold" else cold.recall)(paths)
    threads = max(readers, FETCHERS) if is_kept and cache == "cold" else readers
    read_bytes, seconds = _read_all(store, pieces, threads, again=cache == "warm" and not asked.is_cached)
    return StoreCeiling(
        format=form,
        pixels=pixels,
        store=place.name,
        cache=cache,
        readers=readers,
        bytes_per_s=read_bytes / seconds,
        images_per_s=read_bytes / seconds / written.image_bytes,
    )


def image_shape(written: WrittenSet) -> tuple[int, int, int]:
    """(H, W, C) of what is read of the set."""
    records = open_set(written, "shards", Place(), None).records
    height, width, channels = open_pixels(records, np.arange(1), written.size, 0).images.shape[1:]
    return height, width, channels


def decode_rate(written: WrittenSet, readers: int) -> float:
    """Images a second by so many threads, of files that a MemoryStore holds."""
    records = open_set(written, "shards", Place(), None).records
    num_held = min(_DECODED, len(records))
    held = FilesOneByOne(open_store(written.at("shards")), _held(written, records, num_held))
    images = open_pixels(held, np.arange(len(records)), written.size, 0).images
    parts = np.array_split(np.arange(num_held), -(-num_held // _DECODED_TOGETHER))
    with ThreadPoolExecutor(readers, "ceiling") as pool:
        return max(sum(pool.map(lambda _: _decoded_per_s(images, parts), range(readers))) for _ in range(_ROUNDS))


def _decoded_per_s(images: Images | Originals, parts: list[NDArray[np.int64]]) -> float:
    done = 0
    began = time.perf_counter()
    while (spent_s := time.perf_counter() - began) < _LEAST_S:
        done += sum(len(images[rows]) for rows in parts)
    return done / spent_s


def handover_rate(shape: tuple[int, int, int], batch_size: int, readers: int) -> float:
    """Images a second where making a batch takes nothing."""

    def zeros(_: int) -> NDArray[np.uint8]:
        return np.zeros((batch_size, *shape), np.uint8)

    return max(_handed_over_per_s(zeros, readers) for _ in range(_ROUNDS))


def _handed_over_per_s(make: Callable[[int], NDArray[np.uint8]], readers: int) -> float:
    began = time.perf_counter()
    feed = Feed(make, iter(range(_HANDED_OVER)), readers=readers, ahead=2 * readers)
    try:
        images = sum(len(feed.take(number)) for number in range(_HANDED_OVER))
    finally:
        feed.close()
    return images / (time.perf_counter() - began)


class _Piece(NamedTuple):
    key: str
    start: int
    stop: int


def _shard_pieces(written: WrittenSet) -> list[_Piece]:
    return [
        _Piece(shard.name, start, min(start + _PIECE_BYTES, shard.size_bytes))
        for shard in open_records(written.at("shards"), cached=False).manifest.shards
        for start in range(0, shard.size_bytes, _PIECE_BYTES)
    ]


def _file_pieces(written: WrittenSet, *, late: bool) -> list[_Piece]:
    records = open_set(written, "shards", Place(), None).records
    sizes = file_sizes(open_store(written.at("files")))
    drawn = permutation(0, 0, len(sizes))[: _LATE_FILES if late else None]
    return [_Piece(file_key(position, records.format(position)), 0, sizes[position]) for position in drawn.tolist()]


def _read_all(store: MeasuredStore, pieces: list[_Piece], threads: int, *, again: bool) -> tuple[int, float]:
    """(bytes, seconds) of reading them, over and over for a while where that is the same."""

    def read(piece: _Piece) -> int:
        return len(store.get_ranges(piece.key, [(piece.start, piece.stop)])[0])

    done = 0
    with ThreadPoolExecutor(threads, "ceiling") as pool:
        began = time.perf_counter()
        while True:
            # A task a piece would cost more than a small piece: each thread takes its share at once.
            done += sum(pool.map(lambda first: sum(map(read, pieces[first::threads])), range(threads)))
            spent_s = time.perf_counter() - began
            if not again or spent_s >= _LEAST_S:
                return done, spent_s


def _held(written: WrittenSet, records: RecordSet, count: int) -> MemoryStore:
    """The first files of the set in memory; the list of sizes names all."""
    files, held = open_store(written.at("files")), MemoryStore("held")
    sizes = file_sizes(files)
    held.put(SIZES_KEY, msgspec.json.encode(sizes))
    for position in range(count):
        key = file_key(position, records.format(position))
        held.put(key, files.get(key).content)
    return held
