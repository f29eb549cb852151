"""Batches from a record set: at the machine's speed, and the same wherever and however often they are read.

A batch depends on the records, the sampling, and its (epoch, step). So a reader has no state to save: whoever notes the
next (epoch, step) goes on from there with the same remainder, with other numbers of readers, on another machine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pileus.data.batches import Batches, Microbatch, Place, load_part, memory_for, num_readers, shape_of, share
from pileus.data.feed import Feed
from pileus.data.pixels import Way
from pileus.data.ports import Split
from pileus.data.transforms.mix import Pairs
from pileus.errors import UsageError
from pileus.machine import count_cores
from pileus.records.read import RecordSet
from pileus.spec.reading import Reading, Sampling


class Batch(NamedTuple):
    """One worker's part of a batch, in order. Of one worker in all: the batch."""

    epoch: int
    step: int
    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    pairs: Pairs | None
    """What mixing made of the labels; None: each sample is of its own label alone."""
    positions_N: NDArray[np.int64]
    """Of the samples in the record set."""


class Reader:
    """Reads one split of a record set. Used by one thread; its readers are its own."""

    def __init__(
        self,
        records: RecordSet,
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        reading: Reading = Reading(),  # noqa: B008 - frozen
        *,
        rank: int = 0,
        num_workers: int = 1,
    ) -> None:
        """A split that fits in memory is read now. `rank` in [0, num_workers) takes its share of each batch.

        SourceError where sizes vary and none is given, or the split is empty; SpecError where images of this size
        cannot be augmented so.
        """
        if not 0 <= rank < num_workers:
            raise UsageError(f"rank must be in [0, num_workers) (got rank={rank}, num_workers={num_workers}).")
        sampling.augment.check(*shape_of(records, sampling.size))
        self._part = load_part(
            records,
            Split[sampling.split.upper()],
            validation=sampling.validation,
            size=sampling.size,
            memory_bytes=memory_for(num_workers) if reading.memory_bytes is None else reading.memory_bytes,
        )
        if not len(self._part):
            raise UsageError(f"{records.uri} has no sample in split {sampling.split!r}; choose another split.")
        self._records = records
        self._sampling = sampling
        self._worker = (rank, num_workers)
        self._readers = num_readers(self._part, reading, count_cores().usable)
        self._ahead = reading.ahead or 2 * self._readers
        self._batches = Batches(
            len(self._part), sampling.batch_size, sampling.microbatch_size or sampling.batch_size, sampling.seed
        )
        self._feed: Feed[Place, Microbatch] | None = None
        self.stall_s = 0.0
        """Seconds waited for what was not there yet, in all epochs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the readers."""
        if self._feed:
            self._feed.close()
            self.stall_s += self._feed.stall_s
            self._feed = None

    def __len__(self) -> int:
        """Samples of the split, of all workers."""
        return len(self._part)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label."""
        return self._records.classes

    def id(self, position: int) -> str:
        """Of a sample, by its place in the record set: see `Batch.positions_N`."""
        return self._records.id(position)

    @property
    def way(self) -> Way:
        """Where the pixels are: shards mapped into memory, in memory, or streamed from the records."""
        return self._part.pixels.way

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of each image."""
        return self._part.shape

    @property
    def steps_per_epoch(self) -> int:
        return self._batches.steps_per_epoch(0)

    @property
    def by_pillow(self) -> int:
        """How many pictures Pillow decoded because simplejpeg could not."""
        return self._part.pixels.by_pillow

    def epoch(self, epoch: int, *, step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from a step on. What was begun of another epoch is given up."""
        return self.batches(range(epoch, epoch + 1), step=step)

    def batches(self, epochs: range, *, step: int = 0) -> Iterator[Batch]:
        """The batches of these epochs one after the other, from a step of the first of them on.

        While the last batches of an epoch are used, the first of the next are read.
        """
        if not 0 <= step <= self.steps_per_epoch or epochs.step != 1 or epochs.start < 0:
            raise UsageError(
                f"reading starts at epoch 0 or later and a step in [0, {self.steps_per_epoch}] (got {epochs}, {step})."
            )
        self.close()
        feed = Feed(
            self._made,
            self._batches.places(epochs, step, functools.partial(share, *self._worker)),
            readers=self._readers,
            ahead=self._ahead,
        )
        self._feed = feed
        return self._taken(feed, epochs, step)

    def _taken(self, feed: Feed[Place, Microbatch], epochs: range, step: int) -> Iterator[Batch]:
        try:
            for epoch in epochs:
                for at in range(step if epoch == epochs.start else 0, self.steps_per_epoch):
                    low, high = share(*self._worker, self._batches.num_microbatches(epoch, at))
                    if self._feed is not feed:
                        raise UsageError("a reader reads one epoch at a time; this one has begun another iteration.")
                    places = [Place(epoch, at, index) for index in range(low, high)]
                    yield self._joined(epoch, at, places, [feed.take(place) for place in places])
        finally:
            if self._feed is feed:
                self.close()

    def _made(self, place: Place) -> Microbatch:
        return self._part.augmented(self._batches.rows(place), self._sampling.augment, self._sampling.seed, place.epoch)

    def _joined(self, epoch: int, step: int, places: list[Place], parts: list[Microbatch]) -> Batch:
        rows = [self._batches.rows(place) for place in places]
        positions_N = self._part.positions_N[np.concatenate([*rows, np.empty(0, np.int64)])]
        if len(parts) == 1:
            return Batch(epoch, step, *parts[0], positions_N)
        empty = np.empty((0, *self.shape), np.uint8)
        pairs = [part.pairs for part in parts if part.pairs is not None]
        return Batch(
            epoch,
            step,
            np.concatenate([part.images_NHWC for part in parts] or [empty]),
            np.concatenate([*(part.labels_N for part in parts), np.empty(0, np.int64)]),
            Pairs(*(np.concatenate(column) for column in zip(*pairs, strict=True))) if pairs else None,
            positions_N,
        )
