"""Picture files by Pillow: opened with care, upright, eight bits a channel.

Files come from anyone: they are PNG or JPEG by their first bytes, their size is known before a pixel is decoded, and
whatever is wrong with them is one UsageError.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pileus.errors import UsageError

MAX_PIXELS = 64 * 1024 * 1024
JPEG_MAGIC = b"\xff\xd8\xff"

Channels = Literal[1, 3]

_FACTORIES: list[tuple[bytes, type[ImageFile.ImageFile]]] = [
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (JPEG_MAGIC, JpegImageFile),
]
"""Called directly, not by Image.open, whose check of the size is a process-wide setting and a warning."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for damaged files."""

_UPRIGHT, _ON_ITS_SIDE, _BAD = (None, 1), (5, 6, 7, 8), -1
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F")


class Fitted(NamedTuple):
    image: NDArray[np.uint8]
    """(H, W, C), the model's."""
    box: tuple[int, int, int, int]
    """x, y, width, height in the picture's pixels: what of it the model sees."""


def opened(content: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """The file's head. UsageError for what is no PNG or JPEG, and for too large pictures."""
    for magic, factory in _FACTORIES:
        if content.startswith(magic):
            try:
                picture = factory(io.BytesIO(content))
            except _BROKEN as error:
                raise UsageError(f"the picture's head is damaged ({error}); send the whole file.") from error
            check_size(*picture.size, max_pixels)
            return picture
    raise UsageError(f"a picture must be a PNG or JPEG file (got {_first_bytes(content)}); convert it.")


def check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UsageError(f"a picture may have at most {max_pixels} pixels (got {width} x {height}); make it smaller.")


def upright(picture: ImageFile.ImageFile) -> Image.Image:
    """The whole picture, decoded. UsageError for a damaged or truncated file."""
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except _BROKEN as error:
        raise UsageError(f"the picture is damaged or cut short ({error}); send the whole file.") from error


def lies_on_its_side(picture: Image.Image) -> bool | None:
    """Whether its head says that height and width are to be exchanged; None for a bad head."""
    orientation = _orientation(picture)
    return None if orientation == _BAD else orientation in _ON_ITS_SIDE


def _orientation(picture: Image.Image) -> object:
    """As EXIF or XMP have it, None where neither does; _BAD for a bad head."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of whatever kind: the decoder finds it and says it
        return _BAD


def shrink(picture: Image.Image, divisor: int, channels: Channels | None) -> bool:
    """Have a JPEG that is not yet decoded come out at 1/divisor of its size, grey where one channel is wanted.

    False where it will come out at its own size.
    """
    if not isinstance(picture, JpegImageFile):
        return False
    width, height = picture.size
    mode = "L" if channels == 1 and picture.mode in ("L", "RGB") else picture.mode
    picture.draft(mode, (width // divisor, height // divisor))
    return picture.size == (-(-width // divisor), -(-height // divisor))


def pixels(picture: Image.Image, channels: Channels | None) -> NDArray[np.uint8]:
    """(H, W, C) on white where transparent; None keeps grey grey and makes all else RGB."""
    kept: Channels = 1 if picture.mode in _GREY_MODES else 3
    flat_HW = np.asarray(flattened(picture, "L" if (channels or kept) == 1 else "RGB", ground=255), np.uint8)
    return flat_HW.reshape(*flat_HW.shape[:2], -1)


def flattened(picture: Image.Image, mode: str, *, ground: int) -> Image.Image:
    """Without alpha, eight bits a channel."""
    if picture.mode.startswith("I"):
        levels_HW = np.asarray(picture).astype(np.int64)
        shift = 8 if levels_HW.max() > 255 else 0
        picture = Image.fromarray(np.clip(levels_HW >> shift, 0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert(mode)
    seen = picture.convert("RGBA")
    sheet = Image.new("RGBA", seen.size, (ground, ground, ground, 255))
    return Image.alpha_composite(sheet, seen).convert(mode)


def picture_of(image_HWC: NDArray[np.uint8]) -> Image.Image:
    """(H, W, C) with C 1 or 3."""
    return Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC)


def _first_bytes(content: bytes) -> str:
    return f"a file that starts with {content[:8].hex(' ')}" if content else "an empty file"
