"""Picture files to pixels, by the same decoder that serving uses, and back; a bad file is named."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Encoded
from pileus.errors import SourceError, UsageError
from pileus.preprocessing import files, photographs
from pileus.preprocessing.pictures import fit_pixels, read_picture
from pileus.spec.preprocessing import Picture

MAX_FILE_BYTES = 256 << 20


def encoded_of(content: bytes, name: str) -> Encoded:
    """The file's bytes with their format, by the first of them. SourceError where neither PNG nor JPEG."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Encoded(content, "png")
    if content.startswith(b"\xff\xd8\xff"):
        return Encoded(content, "jpeg")
    what = "is empty" if not content else f"starts with {content[:8].hex(' ')}"
    raise SourceError(f"{name} is not a picture: it must be a PNG or JPEG file ({what}); convert or remove it.")


def decode(
    content: bytes | memoryview,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    channels: Literal[1, 3] | None = None,
) -> NDArray[np.uint8]:
    """(H, W, C) uint8, upright. `name` is for the message of the SourceError.

    `size` (H, W) crops to its aspect and resizes, as serving does, and then `channels` None means 3; without it, None
    keeps grey grey and makes all else RGB.
    """
    try:
        if size is None:
            return photographs.decode(bytes(content), 1, channels).image_HWC
        return read_picture(bytes(content), Picture(height=size[0], width=size[1], channels=channels or 3))
    except UsageError as error:
        raise SourceError(f"{name} cannot be used: {error}") from error


def resized(
    image_HWC: NDArray[np.uint8], *, size: tuple[int, int] | None, channels: Literal[1, 3] | None
) -> NDArray[np.uint8]:
    """As `decode`, from pixels, and with `channels` None as they are."""
    height, width, own_channels = image_HWC.shape
    if (size or (height, width)) == (height, width) and (channels or own_channels) == own_channels:
        return image_HWC
    kept: Literal[1, 3] = 1 if own_channels == 1 else 3
    height, width = size or (height, width)
    return fit_pixels(image_HWC, Picture(height=height, width=width, channels=channels or kept)).image


def lies_on_its_side(content: bytes) -> bool | None:
    """Whether EXIF or XMP in a JPEG's head say that height and width are to be exchanged; None for a bad head."""
    try:
        return files.lies_on_its_side(files.opened(content))
    except UsageError:
        return None


def picture_file(image_HWC: NDArray[np.uint8], file_format: Literal["JPEG", "PNG"], **settings: int) -> bytes:
    """The bytes of a file of the picture, (H, W, C) with C 1 or 3."""
    out = io.BytesIO()
    files.picture_of(image_HWC).save(out, file_format, **settings)
    return out.getvalue()
