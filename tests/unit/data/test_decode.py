from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pileus.data.decode import decode, encoded_of, resized
from pileus.errors import SourceError
from pileus.preprocessing.pictures import read_picture
from pileus.spec.preprocessing import Picture
from tests.contracts.tiny import noise, picture


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_png_gives_its_pixels() -> None:
    assert np.array_equal(decode(picture("PNG", 9, 7, seed=3), "a"), noise(9, 7, 3, seed=3))
    assert np.array_equal(decode(picture("PNG", 9, 7, seed=3, mode="L"), "a")[:, :, 0], noise(9, 7, seed=3))


def test_channels_can_be_asked_for() -> None:
    assert decode(picture("PNG", mode="L"), "a", channels=3).shape == (9, 7, 3)
    assert decode(picture("PNG"), "a", channels=1).shape == (9, 7, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_one_or_three_channels(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    kind = "JPEG" if mode == "CMYK" else "PNG"
    shape = decode(_saved(image, kind), "a").shape
    assert shape == (4, 5, 1 if mode in ("1", "L", "LA", "I;16") else 3)


def test_a_photograph_is_turned_upright() -> None:
    image = Image.fromarray(noise(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(_saved(image, "PNG", exif=exif), "a")
    assert np.array_equal(turned, np.rot90(noise(4, 6, 3), -1))


def test_resizing_is_what_serving_does() -> None:
    for kind in ("JPEG", "PNG"):
        content = picture(kind, 30, 40)
        served = read_picture(content, Picture(height=8, width=8, channels=3))
        assert np.array_equal(decode(content, "a", size=(8, 8), channels=3), served)
    assert np.array_equal(resized(decode(content, "a"), size=(8, 8), channels=3), served)


def test_pixels_that_fit_are_not_touched() -> None:
    image = noise(4, 5, 1)
    assert resized(image, size=None, channels=None) is image
    assert resized(image, size=(4, 5), channels=1) is image


def _png_head(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_png_head(100_000, 100_000), r"cat\.png cannot be used: .*at most \d+ pixels"),
        (_png_head(9_000, 9_000), r"cat\.png cannot be used: .*at most \d+ pixels"),
        (_png_head(100, 100), r"cat\.png cannot be used: .*damaged or cut short"),
        (picture("PNG", 50, 50)[:-1000], r"cat\.png cannot be used"),
        (picture("JPEG", 50, 50)[:-100], r"cat\.png cannot be used"),
        (b"GIF89a", r"cat\.png cannot be used: .*PNG or JPEG"),
    ],
)
def test_a_bad_picture_is_told_by_name(content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        decode(content, "cat.png")


def test_the_first_bytes_say_the_format() -> None:
    assert encoded_of(picture("PNG"), "a").format == "png"
    assert encoded_of(picture("JPEG"), "a").format == "jpeg"
    with pytest.raises(SourceError, match=r"it must be a PNG or JPEG file \(is empty\)"):
        encoded_of(b"", "a")
