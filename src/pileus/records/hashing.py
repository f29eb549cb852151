"""BLAKE3, the hash of what images hold.

As safe as SHA-256, and on every processor with vector instructions several times as fast: hashing was the greatest part
of writing (docs/decisions/0010-hashed-once.md).
"""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3

DIGEST_BYTES = 16


def content_digest(content: bytes | memoryview) -> bytes:
    """Of an image, 16 bytes."""
    return blake3(content).digest(DIGEST_BYTES)


class Digests(NamedTuple):
    """16 bytes each."""

    record: bytes
    """Over what is before the image, what is after it, and the image's digest."""
    image: bytes


def digests_of(data: bytes | memoryview, image_offset: int, image_length: int) -> Digests:
    """Of a record's data, which holds the image."""
    whole, stop = memoryview(data), image_offset + image_length
    image = content_digest(whole[image_offset:stop])
    hashed = blake3(whole[:image_offset])
    hashed.update(whole[stop:])
    hashed.update(image)
    return Digests(hashed.digest(DIGEST_BYTES), image)
