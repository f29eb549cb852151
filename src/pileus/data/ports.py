"""The port of labelled sources: what any collection of labelled images looks like to the rest."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pileus.spec.preprocessing import Preprocessing


class Split(IntEnum):
    """The part that a sample belongs to; the numbers are those of the record index."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


class Encoded(NamedTuple):
    """A picture file's bytes, kept as they are."""

    content: bytes
    format: Literal["jpeg", "png"]


class Sample(NamedTuple):
    """One labelled image."""

    image: NDArray[np.uint8] | Encoded
    """(H, W, C) uint8 with C 1 or 3, or a picture file."""
    label: int
    """Index into the source's classes."""
    id: str
    """Unique within the source and stable: order, augmentation and split follow from it."""
    split: Split | None
    """None where the source has no split of its own; one is then made by hash of the id."""


class Source(Protocol):
    """Errors: SourceError naming the file and the row, from the opening or from any `[i]`."""

    @property
    def kind(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal over what the source holds; equal content, equal fingerprint."""
        ...

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How its images came from raw input; None where images vary in size."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
