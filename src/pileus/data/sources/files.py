"""A source of picture files, each read when its sample is asked for: class folders, manifests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pileus.data.decode import MAX_FILE_BYTES, encoded_of
from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import Row, source_hash
from pileus.errors import SourceError


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
        """Reads every file once."""
        hashed = source_hash("files", self.classes)
        for index in range(len(self)):
            content = self._content(index)
            hashed.update(source_hash(*self.row(index)[1:], self.row(index).label, len(content)).digest())
            hashed.update(content)
        return hashed.hexdigest()

    def _find(self, index: int) -> PictureFile:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.pictures[index]

    def _name(self, index: int) -> str:
        picture = self.pictures[index]
        return f"{picture.path} ({picture.row})" if picture.row else str(picture.path)

    def _content(self, index: int) -> bytes:
        try:
            with self.pictures[index].path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise SourceError(
                f"{self._name(index)} cannot be read ({error.strerror or error}); check the file."
            ) from error
        if len(content) > MAX_FILE_BYTES:
            raise SourceError(f"{self._name(index)} has more than {MAX_FILE_BYTES >> 20} MiB; make it smaller.")
        return content
