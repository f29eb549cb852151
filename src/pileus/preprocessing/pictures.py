"""A picture file, or pixels, to the model's input: ONE way for training, the API and the tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.preprocessing import files, photographs
from pileus.preprocessing.files import MAX_PIXELS, Fitted
from pileus.preprocessing.writing import fit_writing
from pileus.spec.preprocessing import Drawing, Preprocessing


def read_picture(content: bytes, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """(H, W, C) uint8 from the bytes of a PNG or JPEG file. UsageError for anything else."""
    return fit_file(content, spec, max_pixels=max_pixels).image


def fit_file(content: bytes, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> Fitted:
    """As `read_picture`, with what of the picture was taken. NoWriting where writing is wanted and none is seen."""
    if isinstance(spec, Drawing):
        return fit_writing(files.upright(files.opened(content, max_pixels=max_pixels)), spec)
    return photographs.fit_file(content, spec, max_pixels=max_pixels)


def fit_pixels(image_HWC: NDArray[np.uint8], spec: Preprocessing) -> Fitted:
    """As `fit_file`, from the pixels of an upright picture, (H, W, C) with C 1 or 3."""
    if isinstance(spec, Drawing):
        return fit_writing(files.picture_of(image_HWC), spec)
    return photographs.fit_pixels(image_HWC, spec)


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels as stored, by the head of the file alone. UsageError where it is no PNG or JPEG."""
    return files.opened(content, max_pixels=1 << 62).size
