"""What a source holds, told without reading its images."""

from __future__ import annotations

import numpy as np

from pileus.data.ports import Split
from pileus.data.sources.ports import ListedSource
from pileus.data.splits import settled_split
from pileus.spec.preprocessing import Preprocessing
from pileus.spec.values import Spec


class SourceSummary(Spec, frozen=True):
    kind: str
    samples: int
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Samples by class and split name."""
    splits_given: bool
    """False: at least one sample has no split of its own; it is counted in the one that its id gives it."""
    preprocessing: Preprocessing | None
    """None where images vary in size."""
    fingerprint: str

    def in_split(self, split: Split) -> int:
        return sum(by_split[split.name.lower()] for by_split in self.counts.values())


def summarise(source: ListedSource) -> SourceSummary:
    """Count the source's rows. The fingerprint reads every picture file once."""
    counts = np.zeros((len(source.classes), len(Split)), np.int64)
    splits_given = True
    for position in range(len(source)):
        label, sample_id, split = source.row(position)
        splits_given = splits_given and split is not None
        counts[label, settled_split(split, sample_id)] += 1
    names = [split.name.lower() for split in Split]
    return SourceSummary(
        kind=source.kind,
        samples=len(source),
        classes=source.classes,
        counts={
            name: dict(zip(names, row, strict=True)) for name, row in zip(source.classes, counts.tolist(), strict=True)
        },
        splits_given=splits_given,
        preprocessing=source.preprocessing,
        fingerprint=source.fingerprint,
    )
