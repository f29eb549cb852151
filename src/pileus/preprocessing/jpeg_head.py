"""The head of a JPEG file, read without a decoder: whether it lies turned, and how to have only its top decoded.

A decoder that is told a smaller height stops there: the rows below cost nothing. What is decoded is the same bits,
for a row depends on nothing below its own row of blocks but the next row of pixels, where colour is interpolated.
ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAX_SEGMENTS = 1000
START_OF_SCAN, EXIF_AND_XMP = 0xDA, 0xE1
END_OF_IMAGE = b"\xff\xd9"
_BASELINE, _EXTENDED = 0xC0, 0xC1
_FRAME_BYTES, _BLOCK = 6, 8
_ORIENTATION, _SHORT = 0x0112, 3
_UPRIGHT = 1
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


class Head(NamedTuple):
    is_upright: bool
    """False also where only a decoder can tell."""
    height_at: int
    """Where the picture's height is written, two bytes; 0 where rows below cannot be left out."""
    block_rows: int
    """Rows of pixels that are coded together."""


class Segment(NamedTuple):
    marker: int
    start: int
    """Of what it holds."""
    stop: int


def segments(jpeg: bytes) -> Iterator[Segment]:
    """Those of the head; the start of the scan is the last, unless something is not as usual: then all before that."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        start, length = position + 4, int.from_bytes(jpeg[position + 2 : position + 4], "big")
        position = start - 2 + length
        if length < 2 or jpeg[start - 4] != 0xFF or len(jpeg) < position:
            return
        yield Segment(jpeg[start - 3], start, position)
        if jpeg[start - 3] == START_OF_SCAN:
            return


def read_head(jpeg: bytes) -> Head | None:
    """None where it is not as usual: only a decoder can tell what it is."""
    is_upright, height_at, block_rows, components = True, 0, 0, 0
    for marker, start, stop in segments(jpeg):
        if marker == START_OF_SCAN:
            is_whole = jpeg[start : start + 1] == bytes([components]) and jpeg.endswith(END_OF_IMAGE)
            return Head(is_upright, height_at if is_whole else 0, block_rows)
        if marker == EXIF_AND_XMP:
            is_upright = is_upright and says_upright(jpeg[start:stop])
        elif marker in (_BASELINE, _EXTENDED) and stop - start >= _FRAME_BYTES:
            height_at, components = start + 1, jpeg[start + 5]
            factors = jpeg[start + 7 : stop : 3]
            block_rows = _BLOCK * (max((factor & 15 for factor in factors), default=0) or 1)
    return None


def topmost(jpeg: bytes, head: Head, height: int, rows: int, divisor: int) -> tuple[bytes | bytearray, int]:
    """A JPEG of at least the topmost `rows` rows of this one of `height`, decoded by `divisor`, and its height.

    What follows in the file belongs to no row: a decoder must be let to pass over it.
    """
    if not head.height_at:
        return jpeg, height
    kept = -(-(rows + 2 * divisor) // head.block_rows) * head.block_rows
    if kept >= height:
        return jpeg, height
    cut = bytearray(jpeg)
    cut[head.height_at : head.height_at + 2] = kept.to_bytes(2, "big")
    return cut, kept


def says_upright(segment: bytes) -> bool:
    """By EXIF, the first directory of its TIFF, or XMP; False where it says otherwise or is odd."""
    order = {b"Exif\0\0II*\0": "<", b"Exif\0\0MM\0*": ">"}.get(segment[:10])
    if order is None:
        said = _XMP_ORIENTATION.search(segment)
        return said is None or said[1] == b"1"
    tiff = segment[6:]
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(count):
            tag, kind, number, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return (kind, number, value) == (_SHORT, 1, _UPRIGHT)
    except struct.error:
        return False
    return True
