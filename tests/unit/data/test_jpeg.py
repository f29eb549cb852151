from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from pileus.data import jpeg
from pileus.data.decode import decode
from tests.contracts.tiny import noise


def _file(mode: str = "RGB", orientation: int | None = None, **settings: object) -> bytes:
    shape = (11, 17) if mode == "L" else (11, 17, 3)
    picture = Image.fromarray(noise(*shape)).convert(mode)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif, **settings)
    return out.getvalue()


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"mode": "L"}])
def test_the_shape_is_the_decoders(orientation: int | None, settings: dict[str, object]) -> None:
    content = _file(orientation=orientation, **settings)  # type: ignore[arg-type]
    assert jpeg.shape_of(content) == decode(content, "picture").shape


XMP = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta %s/>"


@pytest.mark.parametrize(
    "segment",
    [
        XMP % b'tiff:Orientation="6"',
        XMP % b'tiff:Orientation="1"',
        XMP % b"tiff:Make='none'",
        b"something else",
        b'tiff:Orientation="6"',
        b"",
        b"Exif\0\0",
        b"Exif\0\0 and no more",
    ],
)
def test_what_else_says_how_a_picture_lies_is_heeded(segment: bytes) -> None:
    plain = _file()
    content = plain[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]
    assert jpeg.shape_of(content) == decode(content, "picture").shape


def test_of_every_cut_file_only_the_decoder_can_tell() -> None:
    content = _file(orientation=6)
    assert jpeg.shape_of(content + b"more") is not None
    for stop in [*range(0, 700, 3), len(content) - 1]:
        assert jpeg.shape_of(content[:stop]) is None


def test_of_unusual_files_only_the_decoder_can_tell() -> None:
    assert jpeg.shape_of(_file("CMYK")) is None
    content = _file()
    start = content.index(b"\xff\xc0")
    for marker in (0xC3, 0xC9):
        assert jpeg.shape_of(content[: start + 1] + bytes([marker]) + content[start + 2 :]) is None
    assert jpeg.shape_of(content[: start + 4] + b"\x0c" + content[start + 5 :]) is None
    assert jpeg.shape_of(content[: start + 5] + bytes(4) + content[start + 9 :]) is None
    assert jpeg.shape_of(b"") is None


def test_real_photographs(shared_data: Path) -> None:
    for path in sorted((shared_data / "flowers").glob("*/*.jpg"))[::11]:
        content = path.read_bytes()
        assert jpeg.shape_of(content) == decode(content, path.name).shape
