from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pileus.data.decode import decode
from pileus.data.encode import stored
from pileus.data.options import WriteOptions
from pileus.data.ports import Encoded, Sample
from pileus.errors import SourceError, UsageError
from tests.contracts.tiny import noise, picture

_JPEG = Encoded(picture("JPEG", 40, 30), "jpeg")
_PNG = Encoded(picture("PNG"), "png")
_PIXELS = noise(6, 5, 1)


def _sample(image: object) -> Sample:
    return Sample(image, 0, "sample", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "options", "stays"),
    [
        (_JPEG, {}, True),
        (_JPEG, {"encode": "keep"}, True),
        (_JPEG, {"encode": "jpeg"}, True),
        (_JPEG, {"encode": "jpeg", "quality": 50}, False),
        (_JPEG, {"encode": "jpeg", "channels": 1}, False),
        (_JPEG, {"encode": "png"}, False),
        (_PNG, {}, False),
        (_PNG, {"encode": "keep"}, True),
        (_PNG, {"encode": "png"}, True),
        (_PNG, {"encode": "png", "resize": (4, 3)}, False),
    ],
)
def test_which_files_stay_as_they_are(image: Encoded, options: dict[str, object], stays: bool) -> None:
    kept = stored(_sample(image), WriteOptions(**options))  # type: ignore[arg-type]
    assert (kept.content == image.content) == stays
    if stays:
        assert kept.shape == decode(image.content, "sample").shape
        assert kept.format == image.format


@pytest.mark.parametrize("image", [_JPEG, _PNG, _PIXELS])
def test_lossless_is_lossless(image: object) -> None:
    raw, png = (stored(_sample(image), WriteOptions(encode=encode)) for encode in ("raw", "png"))
    assert (raw.format, png.format) == ("raw", "png")
    pixels = image if isinstance(image, np.ndarray) else decode(image.content, "sample")  # type: ignore[attr-defined]
    assert np.array_equal(np.frombuffer(raw.content, np.uint8).reshape(raw.shape), pixels)
    assert np.array_equal(decode(png.content, "sample"), pixels)
    assert raw.shape == png.shape == pixels.shape


def test_jpeg_is_of_the_quality_asked_for() -> None:
    sizes = [
        len(stored(_sample(_PNG), WriteOptions(encode="jpeg", quality=quality)).content) for quality in (20, 90, 100)
    ]
    assert sizes == sorted(set(sizes))
    made = stored(_sample(_PIXELS), WriteOptions(encode="jpeg"))
    assert Image.open(io.BytesIO(made.content)).size == (5, 6)
    assert made.shape == (6, 5, 1)


def test_what_is_checked_of_a_file_that_stays() -> None:
    """Damage between head and end shows only where every pixel is looked at; a cut file always shows."""
    content = bytearray(_JPEG.content)
    table = content.index(b"\xff\xc4") + 5
    content[table : table + 16] = b"\xff" * 16
    damaged = _sample(Encoded(bytes(content), "jpeg"))
    stored(damaged, WriteOptions())
    with pytest.raises(SourceError, match="sample cannot be used"):
        stored(damaged, WriteOptions(check="decode"))
    with pytest.raises(SourceError, match="sample cannot be used"):
        stored(_sample(Encoded(_JPEG.content[:-60], "jpeg")), WriteOptions())


@pytest.mark.parametrize(
    "options",
    [
        {"encode": "webp"},
        {"check": "nothing"},
        {"encode": "keep", "resize": (3, 3)},
        {"quality": 50},
        {"encode": "jpeg", "quality": 0},
        {"num_shards": 0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        WriteOptions(**options)  # type: ignore[arg-type]
