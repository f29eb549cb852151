"""Sets to read: raw digits, pictures of one size, photographs of many sizes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pileus.data.ports import Encoded, Sample, Split
from pileus.data.write import WriteOptions, write_records
from pileus.records import RecordSet, open_records
from pileus.spec.preprocessing import Preprocessing
from tests.contracts.tiny import noise


class Listed:
    """A source of given samples."""

    kind = "listed"
    fingerprint = "0" * 64
    preprocessing: Preprocessing | None = None

    def __init__(self, samples: list[Sample], classes: tuple[str, ...] = ("a", "b", "c")) -> None:
        self.samples = samples
        self.classes = classes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def photograph(height: int, width: int, seed: int, **options: object) -> bytes:
    """A JPEG file, smooth enough to be one of a camera."""
    coarse = Image.fromarray(noise(6, 8, 3, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    coarse.save(out, "JPEG", **({"quality": 90} | options))
    return out.getvalue()


def _sample(image: NDArray[np.uint8] | Encoded, number: int) -> Sample:
    split = Split.TEST if number % 10 == 9 else Split.VALIDATION if number % 10 == 8 else Split.TRAIN
    return Sample(image, number % 3, f"id-{number:04d}", split)


def raw_set(place: Path, count: int = 70, shape: tuple[int, int, int] = (8, 6, 3), shards: int = 3) -> RecordSet:
    samples = [_sample(noise(*shape, seed=number), number) for number in range(count)]
    return _written(samples, place, shards)


def jpeg_set(place: Path, count: int = 40) -> RecordSet:
    """Pictures of one size, kept as files."""
    samples = [_sample(Encoded(photograph(20, 24, number), "jpeg"), number) for number in range(count)]
    return _written(samples, place, 2)


def photo_set(place: Path, count: int = 40) -> RecordSet:
    """Sizes from 30 to 200 pixels; among them raw ones, grey ones, and some that only Pillow decodes."""
    rng = np.random.default_rng(7)
    samples = []
    for number in range(count):
        height, width = (int(side) for side in rng.integers(30, 200, 2))
        options = {"exif": _turned()} if number % 11 == 3 else {}
        content: NDArray[np.uint8] | Encoded = Encoded(photograph(height, width, number, **options), "jpeg")
        if number % 13 == 5:
            content = noise(height, width, 1, seed=number)
        samples.append(_sample(content, number))
    return _written(samples, place, 2)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _written(samples: list[Sample], place: Path, shards: int) -> RecordSet:
    return open_records(write_records(Listed(samples), str(place), options=WriteOptions(num_shards=shards)).uri)
