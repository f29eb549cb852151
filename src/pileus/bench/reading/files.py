"""The images of a record set as files of their own, read one by one as most training code does.

A file holds the bytes of its record's image, and what is known of it comes from the same index. So batches, threads and
decoder are those of shards, and the format alone differs: one request a file in the order of the batch, no checksum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.data.ports import Records
from pileus.errors import SourceError
from pileus.records.example import ImageFormat
from pileus.records.mapped import MappedImages
from pileus.store.ports import Store

SIZES_KEY = "sizes.json"
_FOLDER_FILES = 1000


def file_key(position: int, image_format: ImageFormat) -> str:
    return f"{position // _FOLDER_FILES:04}/{position:07}.{image_format}"


def is_written(store: Store) -> bool:
    """Whether the files are all there."""
    return SIZES_KEY in store.list(SIZES_KEY)


def file_sizes(store: Store) -> list[int]:
    """Bytes of each file, by position in the set."""
    return msgspec.json.decode(store.get(SIZES_KEY).content, type=list[int])


def write_files(records: Records, write: Callable[[str, bytes], None], progress: Callable[[int, int], None]) -> None:
    """Every image of the set, by `write(key, content)`; the list of their sizes last."""
    sizes = [0] * len(records)
    for done, (position, content) in enumerate(records.contents(np.arange(len(records))), 1):
        write(file_key(position, records.format(position)), bytes(content))
        sizes[position] = len(content)
        progress(done, len(records))
    write(SIZES_KEY, msgspec.json.encode(sizes))


class FilesOneByOne:
    """Such files as a reader's records. Safe for threads."""

    def __init__(self, records: Records, store: Store) -> None:
        """`records` has the index; none of its images are read. SourceError where the files are not all there."""
        self._records = records
        self._store = store
        self._sizes = file_sizes(store)
        if len(self._sizes) != len(records):
            raise SourceError(f"{store.uri} has {len(self._sizes)} files of {len(records)}; write them again.")

    def __len__(self) -> int:
        return len(self._records)

    @property
    def uri(self) -> str:
        return self._store.uri

    @property
    def classes(self) -> tuple[str, ...]:
        return self._records.classes

    @property
    def shape(self) -> tuple[int, int, int] | None:
        return self._records.shape

    @property
    def labels(self) -> NDArray[np.int32]:
        return self._records.labels

    @property
    def splits(self) -> NDArray[np.uint8]:
        return self._records.splits

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self._records.keys

    @property
    def channels(self) -> int:
        return self._records.channels

    @property
    def all_raw(self) -> bool:
        return self._records.all_raw

    def id(self, position: int) -> str:
        return self._records.id(position)

    def format(self, position: int) -> ImageFormat:
        return self._records.format(position)

    def shape_at(self, position: int) -> tuple[int, int, int]:
        return self._records.shape_at(position)

    def sides(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._records.sides(positions)

    def images(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """(n, H, W, C) of raw images of one shape."""
        assert self.shape is not None
        wanted = np.asarray(positions, np.int64)
        images_NHWC = np.empty((len(wanted), *self.shape), np.uint8)
        flat = images_NHWC.reshape(len(wanted), math.prod(self.shape))
        for row, content in self.contents(wanted):
            flat[row] = np.frombuffer(content, np.uint8)
        return images_NHWC

    def contents(self, positions: ArrayLike) -> Iterator[tuple[int, memoryview]]:
        """(row, the file's bytes), one after the other."""
        for row, position in enumerate(np.asarray(positions, np.int64).tolist()):
            key = file_key(position, self._records.format(position))
            yield row, memoryview(self._store.get_ranges(key, [(0, self._sizes[position])])[0])

    def mapped(self, positions: ArrayLike) -> MappedImages | None:
        """Never: they are read one by one."""
        return None
