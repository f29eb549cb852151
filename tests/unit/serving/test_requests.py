from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pileus.preprocessing.lattice import Item
from pileus.preprocessing.strokes import rasterise
from pileus.serving.answers import Refusal
from pileus.serving.requests import (
    PICTURES,
    RAW,
    STROKES,
    Limits,
    candidates_of,
    deadline_of,
    media_type_of,
)
from pileus.spec.preprocessing import Drawing, Picture

DRAWING, PICTURE, LIMITS = Drawing(), Picture(height=8, width=8), Limits()
SEVEN: list[list[list[float]]] = [[[10, 10, 0], [90, 12, 30], [40, 95, 61]], [[20.5, 50.25], [70, 48]]]


def png(width: int, height: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def strokes(value: object) -> bytes:
    return json.dumps({"strokes": value}).encode()


def the_only(body: bytes, media_type: str, spec: Drawing | Picture) -> Item:
    (candidate,) = candidates_of(body, media_type, spec, LIMITS)
    return candidate.item


def refused(body: bytes, media_type: str, spec: Drawing | Picture = DRAWING, limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        candidates_of(body, media_type, spec, limits)
    return caught.value


def test_strokes_become_what_training_saw() -> None:
    image, box = the_only(strokes(SEVEN), STROKES, DRAWING)
    plain = [np.array([point[:2] for point in stroke]) for stroke in SEVEN]
    assert np.array_equal(image, rasterise(plain, DRAWING))
    assert box == (10, 10, 80, 85)


def test_a_drawing_of_several_digits_is_one_item_where_that_is_asked_for() -> None:
    body = strokes([*SEVEN, [[310, 10], [300.5, 95]]])
    assert [candidate.item.box for candidate in candidates_of(body, STROKES, DRAWING, LIMITS)] == [
        (10, 10, 80, 85),
        (300, 10, 10, 85),
    ]
    (whole,) = candidates_of(body, STROKES, DRAWING, LIMITS, whole=True)
    assert whole.item.box == (10, 10, 300, 85)


def test_raw_input_is_itself() -> None:
    body = bytes(range(256)) * 3 + bytes(16)
    image, box = the_only(body, RAW, DRAWING)
    assert image.shape == (28, 28, 1) and image.tobytes() == body and box == (0, 0, 28, 28)


@pytest.mark.parametrize("size", [0, 1, 783, 785, 784 * 3])
def test_raw_input_of_another_size_is_impossible(size: int) -> None:
    refusal = refused(bytes(size), RAW)
    assert refusal.status == 422 and "784 bytes, 28 x 28 x 1" in refusal.detail


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"strokes": [[[1, NaN]]]}', b"\xff\xfe", b'{"strokes": [[[1, 2']
)
def test_what_is_no_json_cannot_be_decoded(body: bytes) -> None:
    assert refused(body, STROKES).status == 400


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[]],
        [[], []],
        None,
        7,
        "strokes",
        [[1, 2]],
        [[[1]]],
        [[[1, 2, 3, 4]]],
        [[[1, "2"]]],
        [[[1, None]]],
        [[[1e300, 0], [0, 1e300]]],
        [[[0, 0]]] * 1001,
    ],
)
def test_impossible_strokes(value: object) -> None:
    assert refused(strokes(value), STROKES).status == 422


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'{"stroke": []}'])
def test_json_without_strokes_is_impossible(body: bytes) -> None:
    assert refused(body, STROKES).status == 422


def test_too_many_points() -> None:
    refusal = refused(strokes([[[i, i] for i in range(11)]]), STROKES, limits=Limits(points=10))
    assert refusal.status == 413 and "at most 10 points (got 11)" in refusal.detail


@pytest.mark.parametrize("media_type", PICTURES)
def test_what_is_no_picture_cannot_be_decoded(media_type: str) -> None:
    for body in (b"no picture", png(30, 30)[:-30], b"\x89PNG\r\n\x1a\n"):
        assert refused(body, media_type).status == 400


def test_an_empty_picture_is_impossible_and_a_great_one_too_large() -> None:
    assert refused(png(40, 40), "image/png").status == 422
    assert refused(png(40, 40), "image/png", limits=Limits(pixels=1599)).status == 413
    assert the_only(png(40, 40, "RGB"), "image/png", PICTURE).image_HWC.shape == (8, 8, 3)


@given(st.binary(max_size=200), st.sampled_from([RAW, STROKES, *PICTURES]))
def test_any_bytes_are_read_or_refused(body: bytes, media_type: str) -> None:
    try:
        candidates_of(body, media_type, DRAWING, LIMITS)
    except Refusal as refusal:
        assert refusal.status in (400, 413, 422)


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3), st.lists, max_leaves=12)
)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        candidates_of(strokes(value), STROKES, DRAWING, LIMITS)
    except Refusal as refusal:
        assert refusal.status in (400, 422)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (b"image/png", "image/png"),
        (b"Application/JSON; charset=utf-8", STROKES),
        (b"application/octet-stream", RAW),
    ],
)
def test_media_types(given: bytes, found: str) -> None:
    assert media_type_of({b"content-type": given}, DRAWING) == found


@pytest.mark.parametrize("given", [b"", b"text/plain", b"image/gif", b"application/jsonp", b"\xff"])
def test_other_media_types_are_told_what_is_read(given: bytes) -> None:
    with pytest.raises(Refusal, match="image/png, image/jpeg") as caught:
        media_type_of({b"content-type": given}, DRAWING)
    assert caught.value.status == 415


def test_a_model_of_photographs_reads_no_strokes() -> None:
    with pytest.raises(Refusal) as caught:
        media_type_of({b"content-type": b"application/json"}, PICTURE)
    assert caught.value.status == 415 and "json" not in dict(caught.value.headers)[b"accept-post"].decode()


def test_deadlines() -> None:
    assert deadline_of({}, LIMITS) == LIMITS.deadline_s
    assert deadline_of({b"x-deadline-ms": b"250"}, LIMITS) == 0.25
    assert deadline_of({b"x-deadline-ms": b"999999999"}, LIMITS) == LIMITS.deadline_s
    for wrong in (b"", b"0", b"-1", b"1.5", b"soon", b"9" * 10):
        with pytest.raises(Refusal) as caught:
            deadline_of({b"x-deadline-ms": wrong}, LIMITS)
        assert caught.value.status == 400
