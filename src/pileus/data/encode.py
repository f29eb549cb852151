"""A sample's image as it is stored: a file that may stay as it is, pixels, or a file made anew."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data import jpeg
from pileus.data.decode import decode, picture_file, resized
from pileus.data.options import WriteOptions
from pileus.data.ports import Encoded, Sample
from pileus.preprocessing.files import MAX_PIXELS
from pileus.records.example import FORMATS, ImageFormat

_QUALITY = 90


class Stored(NamedTuple):
    content: bytes
    format: ImageFormat
    shape: tuple[int, int, int]
    """(H, W, C) once decoded."""


def stored(sample: Sample, options: WriteOptions) -> Stored:
    """SourceError for a picture that cannot be used."""
    if isinstance(sample.image, Encoded) and _stays(sample.image, options):
        return Stored(sample.image.content, sample.image.format, _shape(sample.image, sample.id, options))
    if isinstance(sample.image, Encoded):
        channels = options.channels or (3 if options.resize else None)
        image_HWC = decode(sample.image.content, sample.id, size=options.resize, channels=channels)
    else:
        image_HWC = resized(sample.image, size=options.resize, channels=options.channels)
    height, width, num_channels = image_HWC.shape
    shape = (height, width, num_channels)
    if options.encode == "jpeg":
        return Stored(picture_file(image_HWC, "JPEG", quality=options.quality or _QUALITY), "jpeg", shape)
    if options.encode == "png":
        return Stored(picture_file(image_HWC, "PNG"), "png", shape)
    return Stored(image_HWC.tobytes(), "raw", shape)


def _stays(image: Encoded, options: WriteOptions) -> bool:
    """Whether the file is stored as it is."""
    if options.resize is not None or options.channels is not None or options.quality is not None:
        return False
    return options.encode in ("keep", image.format) or (options.encode == "auto" and image.format == "jpeg")


def are_files_kept(options: WriteOptions, formats: NDArray[np.uint8]) -> bool:
    """Whether records of these formats (positions in FORMATS), written from files, all hold the files as they are."""
    changes = options.resize or options.channels or options.quality or options.encode not in ("auto", "keep")
    return not changes and not (formats == FORMATS.index("raw")).any()


def _shape(image: Encoded, name: str, options: WriteOptions) -> tuple[int, int, int]:
    """Of a file that is stored as it is. All but a usual JPEG are decoded to find it out."""
    if image.format == "jpeg" and options.check == "head":
        shape = jpeg.shape_of(image.content)
        if shape is not None and shape.height * shape.width <= MAX_PIXELS:
            return shape.height, shape.width, shape.channels
    height, width, channels = decode(image.content, name).shape
    return height, width, channels
