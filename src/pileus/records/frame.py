"""TFRecord framing: what TensorFlow, Beam, Spark and DALI read as it is.

A record: length, uint64 | masked CRC-32C of these 8 bytes, uint32 | data | masked CRC-32C of it, uint32.
All little-endian. The mask keeps a checksum of data that holds checksums from being weak.
"""

from __future__ import annotations

import struct

import google_crc32c
import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 12
FOOTER_BYTES = 4
OVERHEAD_BYTES = HEADER_BYTES + FOOTER_BYTES

_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | NDArray[np.uint8], before: int = 0) -> int:
    """CRC-32C (Castagnoli), not masked, of what had `before` and of data after it. An array must be contiguous."""
    return int(google_crc32c.extend(before, data))


def masked(crc: int) -> int:
    """The checksum as it stands in a frame."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def header(length: int) -> bytes:
    """The 12 bytes before data of `length` bytes."""
    start = struct.pack("<Q", length)
    return start + struct.pack("<I", masked(crc32c(start)))


def footer(data_crc: int) -> bytes:
    """The 4 bytes after data whose plain CRC-32C is `data_crc`."""
    return struct.pack("<I", masked(data_crc))


def header_length(head: bytes) -> int | None:
    """The length that a 12-byte header names, or None where its checksum does not hold."""
    start = head[:8]
    if len(head) != HEADER_BYTES or struct.unpack("<I", head[8:])[0] != masked(crc32c(start)):
        return None
    return int(struct.unpack("<Q", start)[0])
