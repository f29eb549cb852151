"""The images of a record set as files of their own, read one by one as most training code does.

A file holds the bytes of its record's image, and what is known of it comes from the same index. So batches, threads and
decoder are those of shards, and the format alone differs: one request a file in the order of the batch, no checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from pileus.errors import SourceError
from pileus.records.example import ImageFormat
from pileus.records.mapped import MappedImages
from pileus.records.read import RecordSet
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


def write_files(records: RecordSet, write: Callable[[str, bytes], None], progress: Callable[[int, int], None]) -> None:
    """Every image of the set, by `write(key, content)`; the list of their sizes last."""
    sizes = [0] * len(records)
    for done, (position, content) in enumerate(records.contents(np.arange(len(records))), 1):
        write(file_key(position, records.format(position)), bytes(content))
        sizes[position] = len(content)
        progress(done, len(records))
    write(SIZES_KEY, msgspec.json.encode(sizes))


class FilesOneByOne(RecordSet):
    """Such files as a record set. Safe for threads."""

    def __init__(self, shards: Store, files: Store) -> None:
        """The index is that of `shards`; none of its images are read. SourceError where the files are not all there."""
        super().__init__(shards)
        self._files = files
        self._sizes = file_sizes(files)
        if len(self._sizes) != len(self):
            raise SourceError(f"{files.uri} has {len(self._sizes)} files of {len(self)}; write them again.")

    def __getitem__(self, position: int) -> memoryview:
        ((_, content),) = self.contents([position])
        return content

    @property
    def uri(self) -> str:
        return self._files.uri

    def contents(self, positions: ArrayLike) -> Iterator[tuple[int, memoryview]]:
        """(row, the file's bytes), one after the other."""
        for row, position in enumerate(np.asarray(positions, np.int64).tolist()):
            key = file_key(position, self.format(position))
            yield row, memoryview(self._files.get_ranges(key, [(0, self._sizes[position])])[0])

    def mapped(self, positions: ArrayLike) -> MappedImages | None:
        """Never: they are read one by one."""
        return None
