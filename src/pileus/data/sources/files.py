"""A source of picture files, each read when its sample is asked for: class folders, manifests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from pileus.data.decode import MAX_FILE_BYTES, encoded_of
from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import Row, source_hash
from pileus.errors import SourceError
from pileus.machine import count_cores
from pileus.records.hashing import content_digest

_READ_TOGETHER = 1024


class PictureFile(NamedTuple):
    """One labelled file."""

    path: Path
    label: int
    id: str
    split: Split | None
    row: str
    """Where its label was read, for messages: empty, or as `labels.csv row 17`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileSource:
    """Picture files in a fixed order, PNG or JPEG."""

    kind: str
    classes: tuple[str, ...]
    pictures: tuple[PictureFile, ...]
    preprocessing: None = None
    """Files vary in size."""

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        _, label, sample_id, split, _ = self._find(index)
        return Sample(encoded_of(self._content(index), self._name(index)), label, sample_id, split)

    def row(self, index: int) -> Row:
        _, label, sample_id, split, _ = self._find(index)
        return Row(label, sample_id, split)

    @cached_property
    def fingerprint(self) -> str:
        """Reads every file once, by as many threads as there are cores."""
        sizes: list[int] = []
        digests: list[bytes] = []
        with ThreadPoolExecutor(count_cores().usable) as pool:
            for first in range(0, len(self), _READ_TOGETHER):
                for size, digest in pool.map(self._hashed, range(first, min(first + _READ_TOGETHER, len(self)))):
                    sizes.append(size)
                    digests.append(digest)
        return self.fingerprint_of(sizes, b"".join(digests))

    @cached_property
    def outline(self) -> str:
        """Hash of what is known of the files without reading them: names, labels, sizes, times of change."""
        hashed = source_hash("outline", self.classes)
        for index, (path, label, sample_id, split, _) in enumerate(self.pictures):
            try:
                found = path.stat()
            except OSError as error:
                raise self._unreadable(index, error) from error
            hashed.update(msgspec.json.encode([sample_id, split, label, found.st_size, found.st_mtime_ns]))
        return hashed.hexdigest()

    def fingerprint_of(self, sizes: Sequence[int], digests: bytes) -> str:
        """The fingerprint, given the size in bytes and the `content_digest` of every file, in their order.

        Whoever has read all files anyway need not do it twice.
        """
        hashed = source_hash("files", self.classes)
        for (_, label, sample_id, split, _), size in zip(self.pictures, sizes, strict=True):
            hashed.update(msgspec.json.encode([sample_id, split, label, size]))
        hashed.update(digests)
        return hashed.hexdigest()

    def _hashed(self, index: int) -> tuple[int, bytes]:
        content = self._content(index)
        return len(content), content_digest(content)

    def _find(self, index: int) -> PictureFile:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.pictures[index]

    def _name(self, index: int) -> str:
        picture = self.pictures[index]
        return f"{picture.path} ({picture.row})" if picture.row else str(picture.path)

    def _content(self, index: int) -> bytes:
        try:
            descriptor = os.open(self.pictures[index].path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                content = os.read(descriptor, min(size, MAX_FILE_BYTES))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unreadable(index, error) from error
        if size > MAX_FILE_BYTES:
            raise SourceError(f"{self._name(index)} has more than {MAX_FILE_BYTES >> 20} MiB; make it smaller.")
        return content

    def _unreadable(self, index: int, error: OSError) -> SourceError:
        return SourceError(f"{self._name(index)} cannot be read ({error.strerror or error}); check the file.")
