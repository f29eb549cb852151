"""The shape of a JPEG file, and that it is all there, without decoding it.

Decoding takes some hundred times as long. What is unusual (rare kinds of coding, anything out of order) is left to the
decoder, which alone decides what is damaged.
"""

from __future__ import annotations

from typing import NamedTuple

from pileus.data.decode import lies_on_its_side
from pileus.preprocessing import jpeg_head

_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, by Huffman codes."""
_UNUSUAL = frozenset(range(0xC3, 0xD0)) - {0xC4}
"""Lossless, hierarchical and arithmetic coding."""


class Shape(NamedTuple):
    height: int
    width: int
    channels: int
    """1 for grey, else 3: what the picture is decoded to."""


def shape_of(content: bytes) -> Shape | None:
    """None where only decoding can tell, or the end of the picture is not there."""
    shape, is_upright = None, True
    for marker, start, stop in jpeg_head.segments(content):
        if marker in _UNUSUAL or marker < 0xC0 or (shape and marker in _START_OF_FRAME):
            return None
        if marker in _START_OF_FRAME:
            shape = _shape(content[start:stop])
            if shape is None:
                return None
        if marker == jpeg_head.EXIF_AND_XMP:
            is_upright = is_upright and jpeg_head.says_upright(content[start:stop])
        if marker == jpeg_head.START_OF_SCAN:
            if shape is None or content.rfind(jpeg_head.END_OF_IMAGE, stop) < 0:
                return None
            return shape if is_upright else _upright(shape, content)
    return None


def _upright(shape: Shape, content: bytes) -> Shape | None:
    """The shape of a picture that may have to be turned."""
    turned = lies_on_its_side(content)
    if turned is None:
        return None
    return Shape(shape.width, shape.height, shape.channels) if turned else shape


def _shape(frame: bytes) -> Shape | None:
    """Of the segment that starts a frame: bits, height, width, components."""
    if len(frame) < 6 or frame[0] != 8 or len(frame) != 6 + 3 * frame[5]:
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if not height or not width or frame[5] not in (1, 3):
        return None
    return Shape(height, width, frame[5])
