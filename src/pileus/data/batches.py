"""From a record set to microbatches: which samples a step takes, how they are cut, and their pixels.

The batch is cut before the workers are counted, so that what a microbatch holds depends on (seed, epoch, step) alone.
"""

from __future__ import annotations

import functools
import itertools
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.data.order import permutation
from pileus.data.pixels import Originals, Pixels, channels_of, open_pixels
from pileus.data.ports import Split
from pileus.data.splits import held_back
from pileus.data.transforms.crop import rectangles
from pileus.data.transforms.draws import Draws
from pileus.data.transforms.mix import Pairs, mixed
from pileus.data.transforms.pipeline import augment
from pileus.errors import SourceError
from pileus.machine import count_memory
from pileus.records.read import RecordSet
from pileus.spec.augment import Augment, ResizedCrop
from pileus.spec.reading import Reading

_PART_OF_MEMORY = 4
_MEMORY_BYTES = 8 << 30
"""Where the machine does not tell its own."""


class Microbatch(NamedTuple):
    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    pairs: Pairs | None = None
    """What mixing made of the labels; None: each sample is of its own label alone."""


class Part(NamedTuple):
    """One split. Rows of `pixels` and of the three arrays belong together."""

    pixels: Pixels
    labels_N: NDArray[np.int64]
    keys_N: NDArray[np.uint64]
    positions_N: NDArray[np.int64]
    """Where each sample stands in the record set; what the ledger notes."""

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of each image."""
        height, width, channels = self.pixels.images.shape[1:]
        return height, width, channels

    def plain(self, rows: NDArray[np.int64]) -> Microbatch:
        """As they are tested: nothing is done to the images."""
        return Microbatch(self.pixels.images[rows], self.labels_N[rows])

    def augmented(self, rows: NDArray[np.int64], spec: Augment, seed: int, epoch: int) -> Microbatch:
        """As training takes them. The rows are ONE microbatch, for it mixes within itself."""
        draws, images = Draws(seed, epoch, self.keys_N[rows]), self.pixels.images
        if isinstance(images, Originals) and isinstance(spec.crop, ResizedCrop):
            boxes_N4 = rectangles(draws, images.heights_N[rows], images.widths_N[rows], spec.crop)
            given_NHWC, left = images.cut(rows, boxes_N4), msgspec.structs.replace(spec, crop=None)
        else:
            given_NHWC, left = images[rows], spec
        images_NHWC = augment(given_NHWC, draws, left, in_place=True)
        labels_N = self.labels_N[rows]
        if spec.mix is None:
            return Microbatch(images_NHWC, labels_N)
        images_NHWC, pairs = mixed(images_NHWC, labels_N, draws, spec.mix)
        return Microbatch(images_NHWC, labels_N, pairs)


class Place(NamedTuple):
    """One microbatch of a run."""

    epoch: int
    step: int
    """Within the epoch."""
    microbatch: int
    """Within the batch."""


class Batches:
    """How the samples of a split are dealt out: a pure function of (seed, epoch, step). Safe for threads."""

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        microbatch_size: int,
        seed: int,
        growth: Mapping[int, int] = types.MappingProxyType({}),
    ) -> None:
        """`growth`: from an epoch to the batch size from there on."""
        self._num_samples = num_samples
        self._microbatch_size = microbatch_size
        self._seed = seed
        self._sizes = sorted({0: batch_size, **growth}.items())

    def batch_size(self, epoch: int) -> int:
        """Samples of a full batch."""
        return next(size for first, size in reversed(self._sizes) if first <= epoch)

    def steps_per_epoch(self, epoch: int) -> int:
        return math.ceil(self._num_samples / self.batch_size(epoch))

    def first_steps(self, num_epochs: int) -> tuple[int, ...]:
        """(num_epochs + 1,): the global step that each epoch begins with, and the one after the last."""
        return (0, *itertools.accumulate(map(self.steps_per_epoch, range(num_epochs))))

    def samples_before(self, epoch: int, global_step: int) -> int:
        """How many were dealt out before a step of an epoch."""
        within = global_step - self.first_steps(epoch)[-1]
        return epoch * self._num_samples + min(within * self.batch_size(epoch), self._num_samples)

    def size(self, epoch: int, step: int) -> int:
        """Samples of the batch; that of an epoch's last step may be smaller."""
        full = self.batch_size(epoch)
        return min(full, self._num_samples - step * full)

    def num_microbatches(self, epoch: int, step: int) -> int:
        return math.ceil(self.size(epoch, step) / self._microbatch_size)

    def rows(self, place: Place) -> NDArray[np.int64]:
        """Rows of the split, in order; the last microbatch of a batch may be smaller."""
        full = self.batch_size(place.epoch)
        first = place.step * full
        start = first + place.microbatch * self._microbatch_size
        stop = min(start + self._microbatch_size, first + full)
        return self._order(place.epoch)[start:stop]

    def places(self, epochs: range, step: int, held: Callable[[int], tuple[int, int]]) -> Iterator[Place]:
        """One worker's microbatches of these epochs, from a step of the first of them on.

        `held` gives of a number of microbatches the interval that is the worker's.
        """
        for epoch in epochs:
            for at in range(step if epoch == epochs.start else 0, self.steps_per_epoch(epoch)):
                for index in range(*held(self.num_microbatches(epoch, at))):
                    yield Place(epoch, at, index)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - an epoch and the next; it lives as long as the run
    def _order(self, epoch: int) -> NDArray[np.int64]:
        return permutation(self._seed, epoch, self._num_samples)


def share(rank: int, num_workers: int, num_microbatches: int) -> tuple[int, int]:
    """[low, high): the microbatches of a rank: contiguous, as even as can be, rank 0 never without one."""
    return (-(-rank * num_microbatches // num_workers), -(-(rank + 1) * num_microbatches // num_workers))


def positions_of(records: RecordSet, split: Split, validation: float) -> NDArray[np.int64]:
    """Positions in the record set. Where there is no validation part, `validation` cuts that share from train."""
    splits = records.splits
    if validation and not (splits == Split.VALIDATION).any():
        moved = (splits == Split.TRAIN) & held_back(np.asarray(records.keys, np.uint64), validation)
        splits = np.where(moved, np.uint8(Split.VALIDATION), splits)
    return np.flatnonzero(splits == split)


def load_part(
    records: RecordSet,
    split: Split,
    *,
    validation: float = 0.0,
    size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    memory_bytes: int | None = None,
) -> Part:
    """Of a split that fits in memory every image is read and verified now. `size` (H, W); None: as they are stored.

    `num_classes`: samples of the first so many classes alone; None: all.
    SourceError where sizes vary and none is given, and where a picture cannot be read.
    """
    positions_N = positions_of(records, split, validation)
    if num_classes is not None:
        positions_N = positions_N[records.labels[positions_N] < num_classes]
    bound = memory_for(1) if memory_bytes is None else memory_bytes
    return Part(
        open_pixels(records, positions_N, size, bound),
        np.ascontiguousarray(records.labels[positions_N], np.int64),
        np.ascontiguousarray(records.keys[positions_N], np.uint64),
        positions_N,
    )


def num_readers(part: Part, reading: Reading, cores: int) -> int:
    """Threads that make microbatches ahead; 0 where they lie ready and who takes one may as well make it."""
    if reading.readers is not None:
        return reading.readers
    return cores if part.pixels.way == "streamed" or isinstance(part.pixels.images, Originals) else 0


def memory_for(num_workers: int) -> int:
    """Bytes that a worker's split may take where nothing is said: a quarter of the machine's, shared among them."""
    return (count_memory() or _MEMORY_BYTES) // _PART_OF_MEMORY // num_workers


def shape_of(records: RecordSet, size: tuple[int, int] | None) -> tuple[int, int, int]:
    """(H, W, C) of what a model is given. SourceError where sizes vary and none is given."""
    if size is not None:
        return (*size, channels_of(records))
    if records.shape is None:
        raise SourceError(
            f"images of {records.uri} vary in size, and a model takes one; give it: --set data.size=[224,224] "
            "(or write them with one: pileus data write SOURCE DEST --resize HxW)"
        )
    return records.shape
