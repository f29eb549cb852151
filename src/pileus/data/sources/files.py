"""A source of picture files, each read when its sample is asked for: class folders, manifests."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pileus.data.decode import MAX_FILE_BYTES, encoded_of
from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import Row, source_hash
from pileus.errors import SourceError

_HASHED_TOGETHER = 1024
_MAX_THREADS = 16


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
        hashed = source_hash("files", self.classes)
        with ThreadPoolExecutor(_cores()) as pool:
            for first in range(0, len(self), _HASHED_TOGETHER):
                for digest in pool.map(self._digest, range(first, min(first + _HASHED_TOGETHER, len(self)))):
                    hashed.update(digest)
        return hashed.hexdigest()

    def _digest(self, index: int) -> bytes:
        content = self._content(index)
        hashed = source_hash(*self.row(index)[1:], self.row(index).label, len(content))
        hashed.update(content)
        return hashed.digest()

    def _find(self, index: int) -> PictureFile:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.pictures[index]

    def _name(self, index: int) -> str:
        picture = self.pictures[index]
        return f"{picture.path} ({picture.row})" if picture.row else str(picture.path)

    def _content(self, index: int) -> bytes:
        try:
            with self.pictures[index].path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read(min(size, MAX_FILE_BYTES))
        except OSError as error:
            raise SourceError(
                f"{self._name(index)} cannot be read ({error.strerror or error}); check the file."
            ) from error
        if size > MAX_FILE_BYTES:
            raise SourceError(f"{self._name(index)} has more than {MAX_FILE_BYTES >> 20} MiB; make it smaller.")
        return content


def _cores() -> int:
    return min(_MAX_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
