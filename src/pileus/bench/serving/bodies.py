"""What is sent: the same drawings or pictures as raw bytes, as PNG and as strokes; and what must be answered to each.

The expected answers are the offline model's, from the same bytes, one body at a time.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bench.serving.load import Given
from pileus.bundles import Bundle, Prediction
from pileus.data.ports import Encoded, Source, Split
from pileus.data.sources.strokes import load_strokes
from pileus.errors import UsageError
from pileus.preprocessing.files import picture_of
from pileus.preprocessing.pictures import fit_file, fit_pixels
from pileus.preprocessing.strokes import rasterise
from pileus.serving.predictions import found
from pileus.serving.requests import Limits, candidates_of
from pileus.spec.preprocessing import Drawing

Kind = Literal["raw", "png", "strokes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEDIA_TYPES: dict[Kind, str] = {"raw": "application/octet-stream", "png": "image/png", "strokes": "application/json"}
COUNT = 256
"""Different bodies of a kind."""
TOLERANCE = 1e-5
"""Of a probability: a batch of another size may be summed in another order."""


Expected = tuple[Prediction, ...]
"""Of the items of one body, from left to right."""


class Bodies(NamedTuple):
    kind: Kind
    contents: tuple[bytes, ...]
    expected: tuple[Expected, ...]

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.kind]


def kinds_of(bundle: Bundle) -> tuple[Kind, ...]:
    """Strokes are for a model of drawings alone."""
    return KINDS if isinstance(bundle.manifest.preprocessing, Drawing) else ("raw", "png")


def bodies_of(kind: Kind, bundle: Bundle, source: Source | None) -> Bodies:
    """Of `source`, evenly; without one, and strokes always, of the embedded ones of people who drew no training data.

    UsageError for strokes to a model of pictures.
    """
    spec = bundle.manifest.preprocessing
    if kind == "strokes":
        if not isinstance(spec, Drawing):
            raise UsageError("strokes are for a model of drawings, and this one is of pictures; leave strokes out.")
        drawn = load_strokes(Split.TEST)[:COUNT]
        contents = [msgspec.json.encode({"strokes": [line.tolist() for line in digit.strokes]}) for digit in drawn]
    elif kind == "raw":
        contents = [image_HWC.tobytes() for image_HWC in _images(bundle, source)]
    else:
        contents = [_png(image_HWC) for image_HWC in _images(bundle, source)]
    return Bodies(kind, tuple(contents), tuple(_expected(content, kind, bundle) for content in contents))


def wrong_answers(given: Sequence[Given], bodies: Bodies) -> int:
    """How many answers differ from the offline model's in their labels, or in a probability by more than TOLERANCE."""
    return sum(each.times for each in given if not is_right(each.answer, bodies.expected[each.body]))


def is_right(answer: bytes, expected: Expected) -> bool:
    try:
        items = msgspec.json.decode(answer, type=_Answer).items
    except msgspec.MsgspecError:
        return False
    return len(items) == len(expected) and all(map(_is_same, items, expected))


def _is_same(item: _Item, expected: Prediction) -> bool:
    return (
        item.label == expected.label
        and item.probabilities.keys() == expected.probabilities.keys()
        and all(abs(item.probabilities[name] - value) <= TOLERANCE for name, value in expected.probabilities.items())
    )


class _Item(msgspec.Struct):
    label: str | None
    probabilities: dict[str, float]


class _Answer(msgspec.Struct):
    items: list[_Item]


def _images(bundle: Bundle, source: Source | None) -> list[NDArray[np.uint8]]:
    spec = bundle.manifest.preprocessing
    if source is None and isinstance(spec, Drawing):
        return [rasterise(digit.strokes, spec) for digit in load_strokes(Split.TEST)[:COUNT]]
    if source is None:
        return [fit_pixels(rasterise(d.strokes, Drawing()), spec).image for d in load_strokes(Split.TEST)[:COUNT]]
    places = np.linspace(0, len(source), min(COUNT, len(source)), endpoint=False).astype(int)
    images = [source[place].image for place in places.tolist()]
    return [
        fit_file(image.content, spec).image if isinstance(image, Encoded) else fit_pixels(image, spec).image
        for image in images
    ]


def _png(image_HWC: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    picture_of(image_HWC).save(file, "PNG")
    return file.getvalue()


def _expected(content: bytes, kind: Kind, bundle: Bundle) -> Expected:
    candidates = candidates_of(content, MEDIA_TYPES[kind], bundle.manifest.preprocessing, Limits())
    return tuple(found(bundle, [candidates]).answers[0])
