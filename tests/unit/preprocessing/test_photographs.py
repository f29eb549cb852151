from __future__ import annotations

import base64
import hashlib
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


_GOLDEN = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABcQERQRDhcUEhQaGBcbIjklIh8fIkYyNSk5UkhXVVFIUE5bZoNvW2F8Yk5QcptzfIeLkpSSWG2grJ+OqoOP
ko3/2wBDARgaGiIeIkMlJUONXlBejY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY3/wAARCABgAIADASIAAhEB
AxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS
0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKz
tLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgEC
BAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpj
ZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6
/9oADAMBAAIRAxEAPwDVJphakZqid68dK5vTojmeomkqJ5arvNXRCnc7YU7FhpRULTCqzy1C0hNd1Oia7FppxUZnFVySaTYxrup0jOU7ExnpPPpohJp6
29dUY2OOpWE86nCY+lSLbr3qVYUFU3Y8+pWIVlPpUqyN6VKqRipFMY7VhOpY4p1LkSu/pUqtJ6VIJEHQU8S+i1w1KxluDvVaSSnSPVOWSuGnSPsIxsEk
lQM+aazZNCjNd9OiU3YME04R09VpxIFdsKdjnnUsNEYFO+UVG0lNyzVulY4alYm8wCjzD2pEgLVZjtwOtTKVjz6lUhBdulSpE7VYVUWneYB0FctSqcsp
XI0tietTLbqOppAzt0FPWJ261wVKxKVxwSJadvjHQUCAD7xpcRLXDOpc6IU7mZI/FUpX5qeVuKqMcmvap0j6iU7CryanRajiWpzwK7IwsclSqNZsComY
k0rHJp8UO41ex59SsNjiLGrUcAHWpEjCChn7Csp1LHDOpcdlVpN5PShImc1bjhVRk1xVKxg3cgSFm61YSBV60pkC8Cm/O5rgqVSowuSbkTpTTKx+6Kcs
IHLGhpETpXHKdzrp0huyRupxR5ar95qY0rv90UwoTy7VG5306JlyniqwGWqxL0qOJctX16jYupWJ4lwKSQ1MFwtRFdzUOVjz6lUSKPcauogRaIIsDNOk
PYVzTq2OOU7kbHJwKlhgJ5NOhhycmrDEIMCuGpWI3E+WMUwsznAoAMjVOqrGMmuGdW5tCncYkPdqc0ioMCo3lLHC0LH3Y1zOVztp0RCzyH2o2KvLGmyT
heFqE75DljgUKNzvp0h73AHCComMknU4FDPHGPU1A0rycLwK6YUrnZGFiKUcUW6ZNSSrUtslfRSnY+bnVuDjC0kMe5qklHOKnt48LmuSpVOZyuKw2rUc
aF2p8nLYqeJAi5NcFSqCjcXiNahAMjUrsXbAqZQI0ya4p1LnTClcPliWoGZpG46UjMZGx2p5ZYl96y3O+nRF+WJcnrVd5WkOF6U0s0re1I8ixLx1q4wu
d8KVh2FjGWPNQSTs5wnSmEtKcnpTXlWMYXk12U6R0qNhdoXlzUbzE8Rim4aQ5c4FNaRU+VBk1306IOVi9MtT26YWkmXkVPEuI6ipWPjtyBlzJVoDZHUU
a5kqWc4GK4KlU0jC5HGu581LM21cCiEbUzULHfJXLKVzsp0h8S/xGmTSFm2inTSbEwKhj/vGpSud9OiSAiNMnrVZmMr+1JLIZHwOlI7iJMDrW8KdzthT
sLJKI1wOtQAFjufpTVBY7m6UyWUudqdK7qdE22HSTZ+VKYFCDc55pPliXJ60wBpTubgV3U6RnKdgLNKcLwKX5Ih6tQz/AMEYpVRYxufk11xhY46lU//Z
""")
"""96 x 128, written once: what encodes is no part of the promise."""


@pytest.mark.parametrize(
    ("divisor", "decoded", "resized"),
    [
        (1, "c5fc7d0448034640", "ceabde0623e52eef"),
        (2, "f58b37a9bfa5a00c", "383c231c8cc0ba5c"),
        (4, "29a9cda85b1284fc", "40f1213a3e4e45b5"),
    ],
)
@pytest.mark.parametrize("library", ["fast", "pillow"])
def test_the_bits_of_a_photograph_are_pinned(
    divisor: int, decoded: str, resized: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "pillow":
        monkeypatch.setattr(photographs, "simplejpeg", None)
    found = decode(_GOLDEN, divisor, 3)
    assert hashlib.sha256(found.image_HWC.tobytes()).hexdigest()[:16] == decoded
    small_HWC = np.empty((20, 24, 3), np.uint8)
    place(found, Rectangle(5, 9, 80, 96), small_HWC)
    assert hashlib.sha256(small_HWC.tobytes()).hexdigest()[:16] == resized
