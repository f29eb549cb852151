from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pileus.errors import UsageError
from pileus.preprocessing.jpeg_head import read_head, topmost
from pileus.preprocessing.photographs import decode

pytest.importorskip("simplejpeg", reason="simplejpeg is not installed; without it whole pictures are decoded")

KINDS: list[dict[str, object]] = [
    {},
    {"progressive": True},
    {"subsampling": 0},
    {"subsampling": 1},
    {"quality": 20},
    {"restart_marker_rows": 1},
]


def noise(height: int, width: int, mode: str, options: dict[str, object]) -> bytes:
    levels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(out, "JPEG", **({"quality": 80} | options))
    return out.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(64, 140),
    st.integers(64, 140),
    st.floats(0, 1),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["RGB", "L"]),
    st.sampled_from(KINDS),
)
def test_the_rows_asked_for_are_those_of_the_whole_picture(
    height: int, width: int, part: float, divisor: int, mode: str, options: dict[str, object]
) -> None:
    content, rows = noise(height, width, mode, options), max(1, round(part * height))
    whole, top = decode(content, divisor, None), decode(content, divisor, None, rows=rows)
    needed = -(-rows // divisor)
    assert len(top.image_HWC) >= needed and not top.by_pillow
    assert np.array_equal(top.image_HWC[:needed], whole.image_HWC[:needed])


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}])
def test_the_rest_is_left_out(options: dict[str, object]) -> None:
    content = noise(400, 100, "RGB", options)
    assert [len(decode(content, 1, 3, rows=rows).image_HWC) for rows in (1, 14, 15, 200, 399)] == [16, 16, 32, 208, 400]


def test_of_several_scans_nothing_is_left_out() -> None:
    content = noise(400, 100, "RGB", {"progressive": True})
    head = read_head(content)
    assert head is not None
    assert topmost(content, head, 400, 8, 1) == (content, 400)


def test_a_file_without_its_end_is_refused_also_where_its_top_is_there() -> None:
    with pytest.raises(UsageError, match="damaged or cut short"):
        decode(noise(400, 100, "RGB", {})[:-2000], 1, 3, rows=8)


@pytest.mark.parametrize("orientation", [None, 1, 2, 6])
@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_who_lies_turned_is_told_without_a_decoder(orientation: int | None, kind: str) -> None:
    exif = Image.Exif()
    options: dict[str, object] = {}

    exif[0x010E] = "a picture"
    if kind == "exif":
        if orientation is not None:
            exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    else:
        said = b"" if orientation is None else b'<x tiff:Orientation="%d"/>' % orientation
        options["xmp"] = b"<x:xmpmeta>" + said + b"</x:xmpmeta>"
    head = read_head(noise(20, 30, "RGB", options))
    assert head is not None
    assert head.is_upright == (orientation in (None, 1))


@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_damaged_directory_is_left_to_the_decoder(order: str) -> None:
    tiff = b"II*\0\x08\0\0\0\xff\xff" if order == "II" else b"MM\0*\0\0\0\x08\xff\xff"
    head = read_head(noise(20, 30, "RGB", {"exif": b"Exif\0\0" + tiff}))
    assert head is not None and not head.is_upright


SEGMENTS = st.lists(
    st.tuples(st.sampled_from([0xC0, 0xC1, 0xC4, 0xDA, 0xE1, 0xFF]), st.integers(0, 20), st.binary(max_size=20))
)


@given(SEGMENTS, st.binary(max_size=3))
def test_any_bytes_have_a_head_or_none(segments: list[tuple[int, int, bytes]], rest: bytes) -> None:
    jpeg = b"\xff\xd8" + b"".join(b"\xff%c\0%c" % (mark, size) + body for mark, size, body in segments) + rest
    head = read_head(jpeg)
    assert head is None or head.height_at < len(jpeg)
