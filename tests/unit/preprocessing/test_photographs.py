from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pileus.errors import UsageError
from pileus.preprocessing import photographs
from pileus.preprocessing.files import Channels
from pileus.preprocessing.photographs import Rectangle, decode, divisor_for, fit_file, fit_pixels, place, size_of
from pileus.spec.preprocessing import Picture

FAST = pytest.mark.skipif(importlib.util.find_spec("simplejpeg") is None, reason="simplejpeg is not installed")


def photograph(height: int, width: int, mode: str = "RGB", **options: object) -> bytes:
    """Smooth, as photographs are."""
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [128 + 100 * np.sin(7 * down + 5 * across + phase) + 20 * np.cos(90 * across * down) for phase in (0, 2, 4)]
    buffer = io.BytesIO()
    picture = Image.fromarray(np.stack(waves, axis=2).astype(np.uint8)).convert(mode)
    picture.save(buffer, "JPEG", **({"quality": 90} | options))
    return buffer.getvalue()


@FAST
@settings(max_examples=60)
@given(
    st.integers(64, 200),
    st.integers(64, 200),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["RGB", "L"]),
    st.sampled_from([1, 3, None]),
    st.sampled_from([{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 20}]),
)
def test_pillow_gives_the_bits_of_simplejpeg(
    height: int, width: int, divisor: int, mode: str, channels: Channels | None, options: dict[str, object]
) -> None:
    content = photograph(height, width, mode, **options)
    fast = decode(content, divisor, channels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "simplejpeg", None)
        slow = decode(content, divisor, channels)
    assert (fast.by_pillow, slow.by_pillow) == (False, True)
    assert fast.divisor == slow.divisor == divisor
    assert fast.image_HWC.shape == slow.image_HWC.shape
    assert np.array_equal(fast.image_HWC, slow.image_HWC)


@pytest.mark.parametrize(
    ("rectangle", "divisor"),
    [((0, 0, 448, 448), 2), ((5, 9, 447, 448), 1), ((0, 0, 900, 1000), 4), ((0, 0, 9000, 9000), 8), ((0, 0, 3, 3), 1)],
)
def test_a_photograph_is_decoded_no_larger_than_needed(rectangle: tuple[int, ...], divisor: int) -> None:
    assert divisor_for(Rectangle(*rectangle), 224, 224) == divisor


def test_decoding_smaller_looks_the_same() -> None:
    content, spec = photograph(900, 1300), Picture(height=100, width=100)
    fast = fit_file(content, spec)
    whole = fit_pixels(decode(content, 1, 3).image_HWC, spec)
    assert fast.box == whole.box == (200, 0, 900, 900)
    assert np.abs(fast.image.astype(int) - whole.image).mean() < 5


def test_a_part_of_a_picture_is_placed() -> None:
    content = photograph(400, 600)
    whole, half = decode(content, 1, 3), decode(content, 2, 3)
    made = np.empty((2, 60, 50, 3), np.uint8)
    for into_HWC, decoded in zip(made, (whole, half), strict=True):
        place(decoded, Rectangle(101, 203, 121, 99), into_HWC)
    assert np.abs(made[0].astype(int) - made[1]).mean() < 3
    exact = np.empty((121, 99, 3), np.uint8)
    place(whole, Rectangle(101, 203, 121, 99), exact)
    assert np.array_equal(exact, whole.image_HWC[101:222, 203:302])


def _turned(content: bytes, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.open(io.BytesIO(content)).save(out, "JPEG", exif=exif, quality=95)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_the_camera_turned_is_upright_at_every_divisor(orientation: int) -> None:
    content = _turned(photograph(160, 240), orientation)
    upright = decode(content, 1, 3)
    assert size_of(content) == upright.image_HWC.shape[:2] == ((240, 160) if orientation > 4 else (160, 240))
    assert upright.by_pillow == (orientation != 1)
    half = decode(content, 2, 3)
    assert half.divisor == 2 and half.image_HWC.shape[:2] == (
        upright.image_HWC.shape[0] // 2,
        upright.image_HWC.shape[1] // 2,
    )
    means = upright.image_HWC.reshape(half.image_HWC.shape[0], 2, half.image_HWC.shape[1], 2, 3).mean(axis=(1, 3))
    assert np.abs(means - half.image_HWC).mean() < 2


@pytest.mark.parametrize("mode", ["CMYK", "RGB"])
def test_rare_kinds_go_to_pillow(mode: str) -> None:
    options = {"keep_rgb": True} if mode == "RGB" else {}
    decoded = decode(photograph(40, 50, mode, **options), 2, 3)
    assert decoded.by_pillow and decoded.image_HWC.shape == (20, 25, 3)


@pytest.mark.parametrize("cut", [1, 2, 500, 3000])
def test_a_truncated_photograph_is_refused(cut: int) -> None:
    content = photograph(200, 300)
    with pytest.raises(UsageError, match="damaged or cut short"):
        decode(content[:-cut], 1, 3)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    content = photograph(30, 40)
    for call in (lambda: decode(content, 1, 3, max_pixels=1199), lambda: size_of(content, max_pixels=1199)):
        with pytest.raises(UsageError, match=r"at most 1199 pixels \(got 40 x 30\)"):
            call()


def _grey(image_HWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(image_HWC @ np.array([0.299, 0.587, 0.114]), np.float64)


def test_grey_of_colour_is_its_brightness() -> None:
    content = photograph(60, 80)
    grey = decode(content, 1, 1).image_HWC[:, :, 0]
    assert np.abs(grey - _grey(decode(content, 1, 3).image_HWC)).mean() < 2
