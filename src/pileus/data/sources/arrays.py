"""A source whose images are arrays in memory: idx files, CIFAR batches, scikit-learn's digits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Sample, Split
from pileus.data.sources.ports import Row, source_hash
from pileus.spec.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Images of one origin and split. Ids are `name/00000` and on."""

    name: str
    split: Split | None
    images: NDArray[np.uint8]
    """(n, H, W, C)"""
    labels: NDArray[np.int64]
    """(n,)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArraySource:
    """Parts one after the other."""

    kind: str
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    preprocessing: Preprocessing | None

    def __len__(self) -> int:
        return sum(len(part.labels) for part in self.parts)

    def __getitem__(self, index: int) -> Sample:
        part, position = self._find(index)
        label, sample_id, split = self.row(index)
        return Sample(part.images[position], label, sample_id, split)

    def row(self, index: int) -> Row:
        part, position = self._find(index)
        return Row(int(part.labels[position]), f"{part.name}/{position:05}", part.split)

    @cached_property
    def fingerprint(self) -> str:
        described = [[part.name, part.split, part.images.shape] for part in self.parts]
        hashed = source_hash("arrays", self.classes, described)
        for part in self.parts:
            hashed.update(part.labels.astype("<i8").data)
            hashed.update(np.ascontiguousarray(part.images).data)
        return hashed.hexdigest()

    def _find(self, index: int) -> tuple[Part, int]:
        position = index
        for part in self.parts:
            if 0 <= position < len(part.labels):
                return part, position
            position -= len(part.labels)
        raise IndexError(f"sample {index} of {len(self)}")
