"""The same pictures for all: copies of the photographs as a folder and as Pileus's records, small images as arrays.

photographs/train/<class>/<name>-<copy>.jpg     records/      the peers' formats: see `formats`
cifar10-images.npy, cifar10-labels.npy          cifar10-records/          and so for mnist
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data_write import fill

from pileus.data.batches import load_part
from pileus.data.ports import Split
from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions
from pileus.operations.write import write_source
from pileus.records.read import open_records
from reading_peers.shapes import SHARDS

SMALL = ("cifar10", "mnist")


def photographs(data: Path, flowers: Path, copies: int) -> int:
    """Fill `photographs` and `records`; returns the number of pictures."""
    root = data / "photographs"
    fill(root / "train", flowers, copies)
    written = write_source(open_source(str(root)), str(data / "records"), options=WriteOptions(num_shards=SHARDS))
    return written.manifest.records


def small(data: Path, name: str, source: Path) -> int:
    """The training part of `name`; returns the number of images."""
    dest = str(data / f"{name}-records")
    write_source(open_source(str(source)), dest)
    part = load_part(open_records(dest), Split.TRAIN)
    images_NHWC = part.pixels.images[np.arange(len(part))]
    np.save(data / f"{name}-images.npy", images_NHWC)
    np.save(data / f"{name}-labels.npy", part.labels_N)
    return len(part)
