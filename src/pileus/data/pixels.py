"""Where the pixels of a split are: in memory, or in the records until they are asked for. The same bits either way.

    stored alike, fits in memory          an array, or raw shards mapped where they lie
    stored alike, does not fit            StreamedImages: read, checked and decoded at every use
    stored in sizes of their own          Originals: cut and resized at every use, from pictures that stay decoded in
                                          memory where all of them fit

All are indexed by an array of rows of the split and give (n, H, W, C) uint8. Safe for threads.
"""

from __future__ import annotations

import math
import threading
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pileus.errors import SourceError, UsageError
from pileus.preprocessing import photographs
from pileus.preprocessing.files import Channels
from pileus.preprocessing.photographs import Decoded, Rectangle, as_channels, central, divisor_for, place
from pileus.records.read import RecordSet
from pileus.spec.preprocessing import Picture

_SMALLER_COPIES = 4 / 3
"""A picture, and its copies at a half, a quarter and an eighth, by the bytes of the picture alone."""


Way = Literal["mapped", "resident", "streamed"]


class Pixels(NamedTuple):
    """A split's images, and by which way they come."""

    images: Images | Originals
    way: Way

    @property
    def by_pillow(self) -> int:
        """How many pictures Pillow decoded because simplejpeg could not."""
        return self.images.by_pillow.count if isinstance(self.images, StreamedImages | Originals) else 0


def open_pixels(
    records: RecordSet, positions_N: NDArray[np.int64], size: tuple[int, int] | None, memory_bytes: int
) -> Pixels:
    """Held in memory where that takes no more than `memory_bytes`. `size` (H, W); None: as they are stored.

    SourceError where a picture that is read now cannot be. With `size` None they must be of one.
    """
    if size is not None and (records.shape is None or records.shape[:2] != size):
        heights_N, widths_N = records.sides(positions_N)
        decoded_bytes = int((heights_N * widths_N).sum()) * records.channels * _SMALLER_COPIES
        spec = Picture(height=size[0], width=size[1], channels=channels_of(records))
        originals = Originals(records, positions_N, spec, keep_decoded=decoded_bytes <= memory_bytes)
        return Pixels(originals, "resident" if originals.keeps_decoded else "streamed")
    streamed = StreamedImages(records, positions_N)
    if math.prod(streamed.shape) > memory_bytes:
        return Pixels(streamed, "streamed")
    mapped = records.mapped(positions_N)
    if mapped is not None:
        return Pixels(mapped, "mapped")
    return Pixels(streamed[np.arange(len(positions_N))], "resident")


class Images(Protocol):
    """Images of one shape; an array of them is one, too. What is asked for by rows is a copy."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]: ...


class Tally:
    """A count that threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.count += number


class StreamedImages:
    """Images of one shape, from the records at every use."""

    def __init__(self, records: RecordSet, positions_N: NDArray[np.int64]) -> None:
        assert records.shape is not None
        self._records = records
        self._positions_N = positions_N
        self.shape = (len(positions_N), *records.shape)
        self.by_pillow = Tally()

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        positions = self._positions_N[rows]
        if self._records.all_raw:
            return self._records.images(positions)
        images_NHWC = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for number, content in self._records.contents(positions):
            decoded = _decoded(self._records, int(positions[number]), content, 1, channels_of(self._records))
            images_NHWC[number] = decoded.image_HWC
            self.by_pillow.add(decoded.by_pillow)
        return images_NHWC


class Originals:
    """Pictures in sizes of their own, given as (H, W, C) of one size."""

    def __init__(
        self, records: RecordSet, positions_N: NDArray[np.int64], spec: Picture, *, keep_decoded: bool
    ) -> None:
        self._records = records
        self._positions_N = positions_N
        self._spec = spec
        self._kept: dict[tuple[int, int], Decoded] | None = {} if keep_decoded else None
        self.by_pillow = Tally()
        self.heights_N, self.widths_N = records.sides(positions_N)
        self.shape = (len(positions_N), spec.height, spec.width, spec.channels)

    @property
    def keeps_decoded(self) -> bool:
        return self._kept is not None

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The middle of each, as serving takes it."""
        sizes = zip(self.heights_N[rows].tolist(), self.widths_N[rows].tolist(), strict=True)
        return self._taken(rows, [central(height, width, self._spec) for height, width in sizes])

    def cut(self, rows: NDArray[np.int64], boxes_N4: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The rectangle `boxes_N4[n]`, top, left, height, width in whole pixels, of picture `rows[n]`."""
        return self._taken(rows, [Rectangle(*box) for box in boxes_N4.tolist()])

    def _taken(self, rows: NDArray[np.int64], boxes: list[Rectangle]) -> NDArray[np.uint8]:
        images_NHWC = np.empty((len(rows), *self.shape[1:]), np.uint8)
        divisors = [divisor_for(box, self._spec.height, self._spec.width) for box in boxes]
        absent = []
        for number, row in enumerate(rows.tolist()):
            kept = self._kept.get((row, divisors[number])) if self._kept is not None else None
            if kept is None:
                absent.append(number)
            else:
                place(kept, boxes[number], images_NHWC[number])
        positions = self._positions_N[rows[absent]]
        for which, content in self._records.contents(positions):
            number = absent[which]
            box, position = boxes[number], int(positions[which])
            rows_needed = None if self._kept is not None else box.top + box.height
            decoded = _decoded(self._records, position, content, divisors[number], self._spec.channels, rows_needed)
            place(decoded, box, images_NHWC[number])
            self.by_pillow.add(decoded.by_pillow)
            if self._kept is not None:
                own_HWC = np.array(decoded.image_HWC)  # not a view of a larger piece of the shard
                self._kept[int(rows[number]), divisors[number]] = decoded._replace(image_HWC=own_HWC)
        return images_NHWC


def _decoded(
    records: RecordSet,
    position: int,
    content: memoryview,
    divisor: int,
    channels: Channels,
    rows_needed: int | None = None,
) -> Decoded:
    if records.format(position) == "raw":
        image_HWC = np.frombuffer(content, np.uint8).reshape(records.shape_at(position))
        return Decoded(as_channels(image_HWC, channels), 1, by_pillow=False)
    try:
        return photographs.decode(bytes(content), divisor, channels, rows=rows_needed)
    except UsageError as error:
        raise SourceError(f"{records.id(position)} of {records.uri} cannot be used: {error}") from error


def channels_of(records: RecordSet) -> Channels:
    """What images come with, of whatever kinds they are: 1 where all are grey, else 3."""
    return 1 if records.channels == 1 else 3
