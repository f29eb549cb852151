"""A record set of ten images of 2 x 2 x 3, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pileus.records import manifest
from pileus.records.example import Example
from pileus.records.write import finish, write_shard
from pileus.spec.preprocessing import Preprocessing
from pileus.store import Store

CLASSES = ("a", "b", "c")


def examples() -> list[Example]:
    numbers = np.random.default_rng(1)
    return [
        Example(numbers.bytes(12), "raw", 2, 2, 3, number % 3, CLASSES[number % 3], f"id-{number}", number % 3)
        for number in range(10)
    ]


def origin() -> manifest.Origin:
    return manifest.Origin(
        kind="test", fingerprint="0" * 64, shard_size_bytes=1 << 20, resize=None, channels=None, validation=0.0
    )


def write_set(
    store: Store,
    written: Sequence[Example] | None = None,
    *,
    num_shards: int = 3,
    classes: tuple[str, ...] = CLASSES,
    preprocessing: Preprocessing | None = None,
) -> manifest.Manifest:
    cut = np.array_split(np.arange(len(written or examples())), num_shards)
    chosen = list(written or examples())
    parts = [
        write_shard(store, manifest.shard_key(number, num_shards), [chosen[row] for row in rows])
        for number, rows in enumerate(cut)
    ]
    return finish(store, parts, classes=classes, preprocessing=preprocessing, origin=origin())
