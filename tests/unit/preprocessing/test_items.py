"""Digits side by side are told apart: in drawings by strokes, in pictures by ink."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pileus.data.ports import Split
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.errors import UsageError
from pileus.preprocessing.items import Item, items_of_picture, items_of_strokes
from pileus.preprocessing.strokes import rasterise
from pileus.preprocessing.writing import NoWriting
from pileus.spec.preprocessing import Drawing

SPEC = Drawing()
ZERO = [[(50 + 40 * math.cos(t / 3), 50 + 50 * math.sin(t / 3)) for t in range(20)]]
ONE = [[(50.0, 0.0), (50.0, 100.0)]]
FOUR = [[(40.0, 0.0), (0.0, 60.0), (70.0, 60.0)], [(60.0, 30.0), (60.0, 100.0)]]
FIVE = [[(10.0, 0.0), (5.0, 45.0), (50.0, 55.0), (45.0, 95.0), (0.0, 100.0)], [(10.0, 0.0), (60.0, 0.0)]]
SEVEN = [[(0.0, 0.0), (70.0, 0.0), (25.0, 100.0)], [(15.0, 50.0), (60.0, 48.0)]]
DIGITS = {"0": ZERO, "1": ONE, "4": FOUR, "5": FIVE, "7": SEVEN}

Strokes = list[list[tuple[float, float]]]


def beside(text: str, gap: float = 30.0) -> tuple[Strokes, list[int]]:
    """The strokes of a string, and where each digit begins."""
    strokes: Strokes = []
    begins: list[int] = []
    right = 0.0
    for digit in text:
        xs = [x for stroke in DIGITS[digit] for x, _ in stroke]
        shift = right - min(xs)
        begins.append(math.floor(right))
        strokes += [[(x + shift, y) for x, y in stroke] for stroke in DIGITS[digit]]
        right += max(xs) - min(xs) + gap
    return strokes, begins


def by_hand(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A judge that knows our five digits, by their likeness."""
    known = np.stack([rasterise(DIGITS[digit], SPEC).ravel() for digit in DIGITS])
    rows = np.array([[np.corrcoef(image.ravel(), one)[0, 1] for one in known] for image in images_NHWC])
    return np.asarray(np.clip(rows, 0, 1) ** 8 / len(DIGITS), np.float32) * len(DIGITS)


def read(items: list[Item]) -> str:
    rows = by_hand(np.stack([item.image_HWC for item in items]))
    return "".join(list(DIGITS)[row.argmax()] for row in rows)


def painted(strokes: Strokes, pen_px: int = 9, ink: int = 0, ground: int = 255, scale: float = 1.0) -> bytes:
    right = max(x for stroke in strokes for x, _ in stroke)
    sheet = Image.new("L", (round((right + 60) * scale), round(160 * scale)), ground)
    draw = ImageDraw.Draw(sheet)
    for stroke in strokes:
        line = [((x + 30) * scale, (y + 30) * scale) for x, y in stroke]
        draw.line(line, fill=ink, width=pen_px, joint="curve")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("text", ["0", "4", "5", "7", "10", "747", "4571", "1111", "5050"])
def test_strokes_of_a_string_are_told_apart(text: str) -> None:
    strokes, begins = beside(text)
    items = items_of_strokes(strokes, SPEC)
    assert read(items) == text
    assert [item.box[0] for item in items] == begins


@pytest.mark.parametrize("text", ["745", "010", "7771"])
def test_strokes_that_nearly_touch_are_told_apart_by_the_model(text: str) -> None:
    assert read(items_of_strokes(beside(text, gap=3.0)[0], SPEC, by_hand)) == text


def test_the_order_of_the_strokes_does_not_matter() -> None:
    strokes, _ = beside("4571")
    backwards = items_of_strokes(strokes[::-1], SPEC)
    assert read(backwards) == "4571"
    for item, other in zip(items_of_strokes(strokes, SPEC), backwards, strict=True):
        assert np.array_equal(item.image_HWC, other.image_HWC) and item.box == other.box


@settings(max_examples=20)
@given(st.floats(0.01, 1000), st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_scale_and_place_of_the_canvas_do_not_matter(scale: float, right: float, down: float) -> None:
    strokes = [[(x * scale + right, y * scale + down) for x, y in stroke] for stroke in beside("4571")[0]]
    assert read(items_of_strokes(strokes, SPEC)) == "4571"


def test_one_digit_is_what_training_sees() -> None:
    for digit in load_strokes(Split.VALIDATION)[:100]:
        items = items_of_strokes(digit.strokes, SPEC)
        assert len(items) == 1
        assert np.array_equal(items[0].image_HWC, rasterise(digit.strokes, SPEC))


def test_digits_of_people_in_a_row_are_counted() -> None:
    """Held-back writers, without a model: the shape alone counts nearly all of them."""
    digits = load_strokes(Split.VALIDATION)
    right = 0
    for first in range(0, 300, 3):
        right += len(items_of_strokes(in_a_row(digits[first : first + 3]), SPEC)) == 3
    assert right >= 95


def in_a_row(digits: list[DrawnDigit]) -> list[NDArray[np.float64]]:
    strokes: list[NDArray[np.float64]] = []
    right = 0.0
    for digit in digits:
        left = min(int(stroke[:, 0].min()) for stroke in digit.strokes)
        strokes += [stroke + np.array([right - left, 0.0]) for stroke in digit.strokes]
        right = max(float(stroke[:, 0].max()) for stroke in strokes) + 60.0
    return strokes


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0), (60, 190)])
@pytest.mark.parametrize("text", ["4", "747", "1051"])
def test_a_picture_of_a_string_is_told_apart(text: str, ink: int, ground: int) -> None:
    strokes, begins = beside(text)
    items = items_of_picture(painted(strokes, ink=ink, ground=ground), SPEC, judge=by_hand)
    assert read(items) == text
    assert [item.box[0] for item in items] == pytest.approx([begin + 30 - 4 for begin in begins], abs=8)


@pytest.mark.parametrize("scale", [0.4, 3.0, 12.0])
def test_the_resolution_of_a_picture_does_not_matter(scale: float) -> None:
    content = painted(beside("475")[0], pen_px=max(2, round(9 * scale)), scale=scale)
    assert read(items_of_picture(content, SPEC, judge=by_hand)) == "475"


def test_digits_that_touch_in_a_picture_are_cut_by_the_model() -> None:
    content = painted(beside("070", gap=-2.0)[0])
    assert read(items_of_picture(content, SPEC, judge=by_hand)) == "070"


def test_digits_that_lean_over_each_other_are_told_apart() -> None:
    strokes = [[(x - 0.5 * y, y) for x, y in stroke] for stroke in beside("1711", gap=25.0)[0]]
    shift = min(x for stroke in strokes for x, _ in stroke)
    content = painted([[(x - shift, y) for x, y in stroke] for stroke in strokes])
    items = items_of_picture(content, SPEC, judge=by_hand)
    assert len(items) == 4
    assert all(one.box[0] + one.box[2] > other.box[0] for one, other in itertools.pairwise(items))


def test_a_comma_is_no_digit() -> None:
    strokes, begins = beside("4075", gap=40.0)
    comma = [(begins[2] - 20.0, 90.0), (begins[2] - 25.0, 122.0)]
    items = items_of_picture(painted([*strokes, comma]), SPEC, judge=by_hand)
    assert read(items) == "4075"


def test_printed_lines_and_specks_are_no_digits() -> None:
    picture = np.asarray(Image.open(io.BytesIO(painted(beside("475")[0])))).copy()
    picture[150:153], picture[70:73, 10:13] = 0, 0
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    assert read(items_of_picture(buffer.getvalue(), SPEC, judge=by_hand)) == "475"


def test_a_picture_in_the_models_frame_is_passed_as_it_is() -> None:
    image_HWC = rasterise(SEVEN, SPEC)
    buffer = io.BytesIO()
    Image.fromarray(image_HWC[:, :, 0]).save(buffer, "PNG")
    (item,) = items_of_picture(buffer.getvalue(), SPEC)
    assert np.array_equal(item.image_HWC, image_HWC) and item.box == (0, 0, 28, 28)


coordinates = st.floats(-1e9, 1e9, allow_nan=False)
drawings = st.lists(st.lists(st.tuples(coordinates, coordinates), max_size=8), max_size=80)


@settings(max_examples=60, deadline=None)
@given(drawings)
def test_any_strokes_give_items_or_are_refused(strokes: Strokes) -> None:
    if not any(strokes):
        with pytest.raises(UsageError, match="at least one point"):
            items_of_strokes(strokes, SPEC, by_hand)
        return
    items = items_of_strokes(strokes, SPEC, no_idea)
    assert 1 <= len(items) <= sum(map(bool, strokes))
    assert all(item.image_HWC.shape == (28, 28, 1) and item.image_HWC.any() for item in items)


def no_idea(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    assert len(images_NHWC) <= 48 * 7
    return np.full((len(images_NHWC), 10), 0.1, np.float32)


def test_more_marks_than_any_writing_has_stay_within_the_bound() -> None:
    for count, told in ((60, 60), (400, 1)):
        marks_HW = np.zeros((30, 8 * count), np.uint8)
        marks_HW[5:25, 3::8] = 255
        buffer = io.BytesIO()
        Image.fromarray(marks_HW).save(buffer, "PNG")
        assert len(items_of_picture(buffer.getvalue(), SPEC, judge=no_idea)) == told


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 200), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_any_picture_gives_items_or_is_refused(height: int, width: int, seed: int, part: float) -> None:
    noise = np.random.default_rng(seed).random((height, width)) < part
    buffer = io.BytesIO()
    Image.fromarray((noise * 255).astype(np.uint8)).save(buffer, "PNG")
    try:
        items = items_of_picture(buffer.getvalue(), SPEC, judge=no_idea)
    except NoWriting:
        assert noise.all() or not noise.any()
        return
    for item in items:
        x, y, wide, tall = item.box
        assert x >= 0 and y >= 0 and wide >= 1 and tall >= 1 and x + wide <= width and y + tall <= height
        assert item.image_HWC.shape == (28, 28, 1)
