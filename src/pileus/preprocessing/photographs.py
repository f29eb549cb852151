"""A photograph's file, or a part of it, to the model's input.

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that still gives the pixels asked for (libjpeg-turbo scales
inside its DCT), by simplejpeg where it can and else by Pillow. Both carry the same library, so the bits are the same,
which the tests hold. What is turned by EXIF, coded in a rare way or damaged goes to Pillow, which alone says what is
wrong. Rows below the part that is wanted are not decoded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.preprocessing import files, jpeg_head
from pileus.preprocessing.files import MAX_PIXELS, Channels, Fitted
from pileus.preprocessing.geometry import resize
from pileus.spec.preprocessing import Picture

try:
    import simplejpeg
except ImportError:  # the extra `read` brings it
    simplejpeg = None

_DIVISORS = (8, 4, 2)
_LEAST_SIDE = 8
"""Below it, rounding up makes pictures of two divisors alike in size, and simplejpeg is asked by size."""
_PLAIN_SPACES = {"YCbCr": "RGB", "Gray": "GRAY"}


class Rectangle(NamedTuple):
    """A part of an upright picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


class Decoded(NamedTuple):
    image_HWC: NDArray[np.uint8]
    """(ceil(H / divisor), ceil(W / divisor), C), upright; rows below those asked for may be missing."""
    divisor: int
    """What the picture was made smaller by; 1 for all but JPEG."""
    by_pillow: bool


def fit_file(content: bytes, spec: Picture, *, max_pixels: int = MAX_PIXELS) -> Fitted:
    """The middle of the picture, of the model's aspect, resized. UsageError where it is no whole PNG or JPEG."""
    height, width = size_of(content, max_pixels=max_pixels)
    rectangle = central(height, width, spec)
    divisor = divisor_for(rectangle, spec.height, spec.width)
    rows = rectangle.top + rectangle.height
    return _fitted(decode(content, divisor, spec.channels, rows=rows, max_pixels=max_pixels), rectangle, spec)


def fit_pixels(image_HWC: NDArray[np.uint8], spec: Picture) -> Fitted:
    """As `fit_file`, from the pixels of an upright picture, (H, W, C) with C 1 or 3."""
    image_HWC = as_channels(image_HWC, spec.channels)
    height, width = image_HWC.shape[:2]
    return _fitted(Decoded(image_HWC, 1, by_pillow=False), central(height, width, spec), spec)


def as_channels(image_HWC: NDArray[np.uint8], channels: Channels) -> NDArray[np.uint8]:
    """The picture itself where it has so many."""
    return image_HWC if image_HWC.shape[2] == channels else files.pixels(files.picture_of(image_HWC), channels)


def central(height: int, width: int, spec: Picture) -> Rectangle:
    """The largest rectangle of the model's aspect, in the middle."""
    cut_height = min(height, max(1, round(width * spec.height / spec.width)))
    cut_width = min(width, max(1, round(height * spec.width / spec.height)))
    return Rectangle((height - cut_height) // 2, (width - cut_width) // 2, cut_height, cut_width)


def divisor_for(rectangle: Rectangle, height: int, width: int) -> int:
    """The largest of 8, 4, 2, 1 at which the rectangle still has height x width pixels, and 8 x 8."""
    height, width = max(height, _LEAST_SIDE), max(width, _LEAST_SIDE)
    fits = (d for d in _DIVISORS if rectangle.height // d >= height and rectangle.width // d >= width)
    return next(fits, 1)


def place(decoded: Decoded, rectangle: Rectangle, into_HWC: NDArray[np.uint8]) -> None:
    """Fill `into_HWC` with a rectangle of the picture, given in the picture's own pixels."""
    divisor = decoded.divisor
    top, left = rectangle.top // divisor, rectangle.left // divisor
    bottom = max(top + 1, -(-(rectangle.top + rectangle.height) // divisor))
    right = max(left + 1, -(-(rectangle.left + rectangle.width) // divisor))
    resize(decoded.image_HWC[top:bottom, left:right], into_HWC)


def decode(
    content: bytes,
    divisor: int,
    channels: Channels | None,
    *,
    rows: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """A PNG or JPEG file, by a divisor from `divisor_for`; `channels` None keeps grey grey and makes all else RGB.

    `rows`: how many of the upright picture's topmost rows are needed, where not all are. UsageError for other, damaged,
    truncated or too large files.
    """
    image_HWC = _decoded_fast(content, divisor, channels, rows, max_pixels)
    if image_HWC is not None:
        return Decoded(image_HWC, divisor, by_pillow=False)
    picture = files.opened(content, max_pixels=max_pixels)
    shrunk = files.shrink(picture, divisor, channels)
    return Decoded(files.pixels(files.upright(picture), channels), divisor if shrunk else 1, by_pillow=True)


def size_of(content: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width of the upright picture, by the head of the file. Errors as `decode`."""
    head = _plain_head(content)
    if head is not None:
        files.check_size(head.width, head.height, max_pixels)
        return head.height, head.width
    picture = files.opened(content, max_pixels=max_pixels)
    width, height = picture.size
    return (width, height) if files.lies_on_its_side(picture) else (height, width)


def _fitted(decoded: Decoded, rectangle: Rectangle, spec: Picture) -> Fitted:
    image_HWC = np.empty((spec.height, spec.width, spec.channels), np.uint8)
    place(decoded, rectangle, image_HWC)
    return Fitted(image_HWC, (rectangle.left, rectangle.top, rectangle.width, rectangle.height))


class _Head(NamedTuple):
    height: int
    width: int
    space: str
    rest: jpeg_head.Head


def _plain_head(content: bytes) -> _Head | None:
    """Of a JPEG that simplejpeg may decode; None where only Pillow can tell."""
    if simplejpeg is None or not content.startswith(files.JPEG_MAGIC):
        return None
    rest = jpeg_head.read_head(content)
    if rest is None or not rest.is_upright:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return _Head(height, width, space, rest) if space in _PLAIN_SPACES else None


def _decoded_fast(
    content: bytes, divisor: int, channels: Channels | None, rows: int | None, max_pixels: int
) -> NDArray[np.uint8] | None:
    """None where only Pillow can tell."""
    head = _plain_head(content)
    if head is None or head.height * head.width > max_pixels:
        return None
    wanted = {1: "GRAY", 3: "RGB", None: _PLAIN_SPACES[head.space]}[channels]
    taken: bytes | bytearray = content
    height = head.height
    if rows is not None:
        taken, height = jpeg_head.topmost(content, head.rest, height, rows, divisor)
    least = {"min_height": -(-height // divisor), "min_width": -(-head.width // divisor)} if divisor > 1 else {}
    try:
        image_HWC: NDArray[np.uint8] = simplejpeg.decode_jpeg(taken, wanted, strict=taken is content, **least)
    except ValueError:
        return None
    return image_HWC
