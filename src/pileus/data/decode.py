"""Picture files to pixels, by the same decoder that serving uses, and back; a bad file is named."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from pileus.data.ports import Encoded
from pileus.errors import SourceError, UsageError
from pileus.preprocessing import pictures
from pileus.spec.preprocessing import Picture

MAX_FILE_BYTES = 256 << 20

_ON_ITS_SIDE = (5, 6, 7, 8)
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F")


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

    `size` (H, W) crops to its aspect and resizes, as serving does; None keeps the size. `channels` None keeps
    grey grey and makes all else RGB.
    """
    try:
        return fitted(pictures.decode(bytes(content)), size=size, channels=channels)
    except UsageError as error:
        raise SourceError(f"{name} cannot be used: {error}") from error


def resized(
    image_HWC: NDArray[np.uint8], *, size: tuple[int, int] | None, channels: Literal[1, 3] | None
) -> NDArray[np.uint8]:
    """As `decode`, from pixels."""
    height, width, own_channels = image_HWC.shape
    if (size or (height, width)) == (height, width) and (channels or own_channels) == own_channels:
        return image_HWC
    picture = Image.fromarray(image_HWC[:, :, 0] if own_channels == 1 else image_HWC)
    return fitted(picture, size=size, channels=channels)


def fitted(picture: Image.Image, *, size: tuple[int, int] | None, channels: Literal[1, 3] | None) -> NDArray[np.uint8]:
    """As `decode`, from an open picture."""
    height, width = size or (picture.height, picture.width)
    kept: Literal[1, 3] = 1 if picture.mode in _GREY_MODES else 3
    return pictures.fit(picture, Picture(height=height, width=width, channels=channels or kept)).image


def lies_on_its_side(content: bytes) -> bool | None:
    """Whether EXIF or XMP in a JPEG's head say that height and width are to be exchanged; None for a bad head."""
    try:
        return JpegImageFile(io.BytesIO(content)).getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    except Exception:  # of whatever kind: the decoder finds it and says it
        return None


def picture_file(image_HWC: NDArray[np.uint8], file_format: Literal["JPEG", "PNG"], **settings: int) -> bytes:
    """The bytes of a file of the picture, (H, W, C) with C 1 or 3."""
    out = io.BytesIO()
    picture = Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC)
    picture.save(out, file_format, **settings)
    return out.getvalue()
