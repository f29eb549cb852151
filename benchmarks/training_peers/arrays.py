"""The pictures for the peers: the very samples that Pileus trains and validates on, as arrays in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pileus.bench.reading.sets import Taken
from pileus.data.batches import load_part
from pileus.data.ports import Split
from pileus.data.sources.open import open_source
from pileus.operations.write import write_source
from pileus.records.read import open_records

PARTS = {"train": Split.TRAIN, "validation": Split.VALIDATION, "test": Split.TEST}


def written(place: str, folder: Path, *, count: int | None = None) -> str:
    """A source as records, `count` samples of it all to train on, or all as it has them. Returns the set's URI."""
    source = open_source(place)
    return write_source(source if count is None else Taken(source=source, count=count), str(folder)).uri


def exported(records_uri: str, path: Path, *, validation: float = 0.0) -> Path:
    """PART_images_NHWC uint8 and PART_labels_N of each part; a part may be empty."""
    records = open_records(records_uri)
    arrays: dict[str, NDArray[Any]] = {}
    for name, split in PARTS.items():
        part = load_part(records, split, validation=validation)
        plain = part.plain(np.arange(len(part)))
        arrays |= {f"{name}_images_NHWC": plain.images_NHWC, f"{name}_labels_N": plain.labels_N}
    np.savez(path, allow_pickle=False, **arrays)
    return path
