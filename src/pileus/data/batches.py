"""From a record set to microbatches: which samples a step takes, how they are cut, and their pixels.

The batch is cut before the workers are counted, so that what a microbatch holds depends on (seed, epoch, step) alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.order import permutation
from pileus.data.ports import Split
from pileus.data.resident import load_images
from pileus.data.splits import held_back
from pileus.data.transforms.draws import Draws
from pileus.data.transforms.mix import Pairs, mixed
from pileus.data.transforms.pipeline import augment
from pileus.errors import SourceError
from pileus.records.read import RecordSet
from pileus.spec.augment import Augment
from pileus.spec.run import Data


class Part(NamedTuple):
    """One split, resident in memory. Rows of the three arrays belong together."""

    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    keys_N: NDArray[np.uint64]
    positions_N: NDArray[np.int64]
    """Where each sample stands in the record set; what the ledger notes."""

    def __len__(self) -> int:
        return len(self.labels_N)

    def augmented(
        self, rows: NDArray[np.int64], spec: Augment, seed: int, epoch: int
    ) -> tuple[NDArray[np.uint8], Pairs | None]:
        """The images of a microbatch as training takes them, and what mixing made of their labels."""
        draws = Draws(seed, epoch, self.keys_N[rows])
        images_NHWC = augment(self.images_NHWC[rows], draws, spec)
        return mixed(images_NHWC, self.labels_N[rows], draws, spec.mix) if spec.mix else (images_NHWC, None)


def positions_of(records: RecordSet, split: Split, data: Data) -> NDArray[np.int64]:
    """Positions in the record set. Where there is no validation part, `data.validation` cuts one from train."""
    splits = records.splits
    if data.validation and not (splits == Split.VALIDATION).any():
        moved = (splits == Split.TRAIN) & held_back(np.asarray(records.keys, np.uint64), data.validation)
        splits = np.where(moved, np.uint8(Split.VALIDATION), splits)
    return np.flatnonzero(splits == split)


def load_part(records: RecordSet, split: Split, data: Data) -> Part:
    """Read and verify every image of a split. SourceError where images vary in shape."""
    if records.shape is None:
        raise SourceError(
            f"images of {records.uri} vary in size; training needs one size: "
            "write them with `pileus data write SOURCE DEST --resize 64x64`, then train on DEST."
        )
    positions = positions_of(records, split, data)
    return Part(
        load_images(records, positions),
        np.ascontiguousarray(records.labels[positions], np.int64),
        np.ascontiguousarray(records.keys[positions], np.uint64),
        positions,
    )


def order_of(part: Part, seed: int, epoch: int) -> NDArray[np.int64]:
    """Rows of the part in the order in which this epoch takes them."""
    return permutation(seed, epoch, len(part))


def batch_rows(order: NDArray[np.int64], step: int, batch_size: int) -> NDArray[np.int64]:
    """Rows of step `step` of an epoch; the last batch may be smaller."""
    return order[step * batch_size : (step + 1) * batch_size]


def cut(rows: NDArray[np.int64], microbatch_size: int) -> list[NDArray[np.int64]]:
    """The microbatches of a batch, in order; the last may be smaller."""
    return [rows[start : start + microbatch_size] for start in range(0, len(rows), microbatch_size)]
