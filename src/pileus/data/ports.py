"""The ports of labelled images: what any collection of them looks like to who writes, and to who reads."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pileus.records.example import ImageFormat
from pileus.records.mapped import MappedImages
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


class Records(Protocol):
    """Images by position, with what is known of them without reading them; RecordSet says what each member is.

    Errors: Damaged and StoreError from what reads images. Safe for threads.
    """

    def __len__(self) -> int: ...

    @property
    def uri(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> tuple[int, int, int] | None: ...

    @property
    def labels(self) -> NDArray[np.int32]: ...

    @property
    def splits(self) -> NDArray[np.uint8]: ...

    @property
    def keys(self) -> NDArray[np.uint64]: ...

    @property
    def channels(self) -> int: ...

    @property
    def all_raw(self) -> bool: ...

    def id(self, position: int) -> str: ...

    def format(self, position: int) -> ImageFormat: ...

    def shape_at(self, position: int) -> tuple[int, int, int]: ...

    def sides(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...

    def images(self, positions: ArrayLike) -> NDArray[np.uint8]: ...

    def contents(self, positions: ArrayLike) -> Iterator[tuple[int, memoryview]]: ...

    def mapped(self, positions: ArrayLike) -> MappedImages | None: ...
