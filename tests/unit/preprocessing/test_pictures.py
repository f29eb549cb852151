from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pileus.errors import UsageError
from pileus.preprocessing.pictures import fit_file, fit_pixels, picture_size, read_picture
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing, Picture

SEVEN = [[(100.0, 100.0), (300.0, 110.0), (180.0, 420.0)], [(150.0, 260.0), (270.0, 250.0)]]
MNIST = Path("../shared/data/mnist/t10k-images-idx3-ubyte.gz")


def encoded(picture: Image.Image | NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def written(pen_px: int = 30, ink: int = 0, ground: int = 255) -> Image.Image:
    sheet = Image.new("L", (500, 600), ground)
    draw = ImageDraw.Draw(sheet)
    for stroke in SEVEN:
        draw.line(stroke, fill=ink, width=pen_px, joint="curve")
        for x, y in stroke:
            draw.ellipse((x - pen_px / 2, y - pen_px / 2, x + pen_px / 2, y + pen_px / 2), fill=ink)
    return sheet


def likeness(image_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8]) -> float:
    """Correlation of the pixels: 1 for the same picture."""
    return float(np.corrcoef(image_HWC.ravel(), other_HWC.ravel())[0, 1])


@pytest.mark.parametrize("pen_px", [1, 6, 30, 40])
@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0), (60, 190), (200, 90)])
def test_a_picture_of_writing_looks_like_its_strokes(pen_px: int, ink: int, ground: int) -> None:
    image_HWC = read_picture(encoded(written(pen_px, ink, ground)), Drawing())
    assert image_HWC.shape == (28, 28, 1) and image_HWC.dtype == np.uint8
    assert likeness(image_HWC, rasterise(SEVEN, Drawing())) > 0.85


def test_noise_of_the_paper_is_no_ink() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (600, 500))
    noisy = np.clip(np.asarray(written(24, 60, 200)) + noise, 0, 255).astype(np.uint8)
    for content in (encoded(noisy), encoded(noisy, "JPEG", quality=80)):
        assert likeness(read_picture(content, Drawing()), rasterise(SEVEN, Drawing())) > 0.8


def test_the_box_says_where_the_ink_is() -> None:
    assert fit_pixels(np.asarray(written(30))[:, :, None], Drawing()).box == pytest.approx((85, 85, 230, 350), abs=3)


def test_a_picture_in_the_models_frame_is_passed_as_it_is() -> None:
    image_HW = rasterise(SEVEN, Drawing())[:, :, 0]
    assert np.array_equal(read_picture(encoded(image_HW), Drawing())[:, :, 0], image_HW)
    rgb_HWC = np.repeat(image_HW[:, :, None], 3, axis=2)
    assert np.array_equal(read_picture(encoded(rgb_HWC), Drawing())[:, :, 0], image_HW)


@pytest.mark.skipif(not MNIST.exists(), reason="MNIST is not in ../shared/data")
def test_mnist_pictures_give_their_own_pixels() -> None:
    images_NHW = np.frombuffer(gzip.decompress(MNIST.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    for image_HW in images_NHW[:2000]:
        assert np.array_equal(read_picture(encoded(image_HW), Drawing())[:, :, 0], image_HW)


@pytest.mark.parametrize(("mode", "ground"), [("L", 0), ("L", 255), ("L", 130), ("RGBA", 0), ("1", 1)])
def test_an_even_tone_is_no_writing(mode: str, ground: int) -> None:
    with pytest.raises(UsageError, match="shows no writing"):
        read_picture(encoded(Image.new(mode, (50, 40), ground)), Drawing())


@pytest.mark.parametrize(("ink", "sheet"), [((0, 0, 0), 0), ((255, 255, 255), 255)])
def test_ink_on_a_transparent_sheet_is_seen(ink: tuple[int, int, int], sheet: int) -> None:
    """Canvases save their empty parts as transparent black, or white."""
    alpha = Image.fromarray(255 - np.asarray(written(30)))
    colour = Image.new("RGB", alpha.size, (sheet, sheet, sheet))
    colour.paste(ink, mask=alpha)
    colour.putalpha(alpha)
    assert likeness(read_picture(encoded(colour), Drawing()), rasterise(SEVEN, Drawing())) > 0.85


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "I;16"])
def test_every_kind_of_png_reads(mode: str) -> None:
    grey = written(30)
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    picture = deep if mode == "I;16" else grey.convert(mode)
    assert picture.mode == mode
    assert likeness(read_picture(encoded(picture), Drawing()), rasterise(SEVEN, Drawing())) > 0.85
    assert read_picture(encoded(picture), Picture(height=20, width=30)).shape == (20, 30, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_reads(mode: str) -> None:
    content = encoded(written(30).convert("RGB").convert(mode), "JPEG", quality=90)
    assert likeness(read_picture(content, Drawing()), rasterise(SEVEN, Drawing())) > 0.8


def test_a_photograph_is_cropped_in_the_middle() -> None:
    photograph = np.zeros((60, 100, 3), np.uint8)
    photograph[:, :20], photograph[:, 80:] = (255, 0, 0), (0, 0, 255)
    photograph[:, 20:80] = (10, 200, 30)
    fitted = fit_pixels(photograph, Picture(height=32, width=32))
    assert fitted.box == (20, 0, 60, 60)
    assert np.array_equal(fitted.image, np.full((32, 32, 3), (10, 200, 30), np.uint8))


def test_a_photograph_of_the_models_size_is_itself() -> None:
    photograph_HWC = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    spec = Picture(height=32, width=32)
    assert np.array_equal(read_picture(encoded(photograph_HWC), spec), photograph_HWC)
    grey = read_picture(encoded(photograph_HWC), Picture(height=32, width=32, channels=1))
    assert grey.shape == (32, 32, 1)


def test_making_smaller_averages() -> None:
    """Without it, a board of single pixels would turn to all black, all white or noise."""
    board_HW = np.indices((256, 256)).sum(axis=0) % 2 * 255
    small_HWC = read_picture(encoded(board_HW.astype(np.uint8)), Picture(height=32, width=32))
    assert np.abs(small_HWC.astype(int) - 127).max() <= 2


def test_the_orientation_of_the_camera_is_honoured() -> None:
    photograph_HWC = np.zeros((80, 80, 3), np.uint8)
    photograph_HWC[:40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_picture(encoded(photograph_HWC, "JPEG", exif=exif), Picture(height=8, width=8))
    assert turned[:, 6].min() > 200 and turned[:, 1].max() < 50


def test_transparent_parts_of_a_photograph_are_white() -> None:
    clear = read_picture(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), Picture(height=3, width=3))
    assert clear.min() == 255


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    content = encoded(Image.new("RGB", size, (9, 8, 7)))
    assert np.array_equal(read_picture(content, Picture(height=4, width=4))[2, 2], (9, 8, 7))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", b"BM", b"\x89PNG\r\n\x1a", b"no picture"])
def test_other_files_are_refused_by_their_first_bytes(content: bytes) -> None:
    with pytest.raises(UsageError, match="PNG or JPEG"):
        read_picture(content, Drawing())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cut_file_is_refused(kind: str) -> None:
    whole = encoded(written(30).convert("RGB"), kind)
    for length in range(8, len(whole) - 40, max(1, len(whole) // 60)):
        with pytest.raises(UsageError, match=r"damaged|cut short"):
            read_picture(whole[:length], Drawing())


def test_a_pixel_bomb_is_refused_by_its_head() -> None:
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    assert picture_size(content) == (100_000, 100_000)
    with pytest.raises(UsageError, match=r"at most 67108864 pixels \(got 100000 x 100000\)"):
        fit_file(content, Drawing())


def test_the_limit_of_pixels_may_be_lower() -> None:
    spec = Picture(height=10, width=20)
    for content in (encoded(Image.new("L", (20, 10))), encoded(Image.new("L", (20, 10)), "JPEG")):
        assert read_picture(content, spec, max_pixels=200).shape == (10, 20, 3)
        with pytest.raises(UsageError, match="at most 199 pixels"):
            read_picture(content, spec, max_pixels=199)


WHOLE_FILES = [encoded(written(30).resize((50, 60)), kind) for kind in ("PNG", "JPEG")]


@settings(max_examples=150)
@given(st.sampled_from(WHOLE_FILES), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(whole: bytes, position: int, change: bytes) -> None:
    position %= len(whole)
    content = whole[:position] + change + whole[position + len(change) :]
    try:
        image_HWC = read_picture(content, Drawing(), max_pixels=1_000_000)
    except UsageError:
        return
    assert image_HWC.shape == (28, 28, 1)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
