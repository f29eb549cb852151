"""Strokes become the same picture whatever canvas, unit and speed drew them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.errors import UsageError
from pileus.preprocessing.strokes import rasterise
from pileus.spec.preprocessing import Drawing

SEVEN = [[(10.0, 10.0), (60.0, 12.0), (30.0, 90.0)]]
SPEC = Drawing()


def drawn(strokes: list[list[tuple[float, float]]], spec: Drawing = SPEC) -> NDArray[np.int64]:
    return rasterise(strokes, spec)[:, :, 0].astype(np.int64)


def reference(strokes: list[list[tuple[float, float]]], spec: Drawing) -> NDArray[np.float64]:
    """The plain truth, a pixel and a segment at a time, for lines of two points and more."""
    points = [point for stroke in strokes for point in stroke]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    extent = max(max(x for x, _ in points) - left, max(y for _, y in points) - top)
    scale = (spec.box - spec.stroke_width) / extent
    lines = [[((x - left) * scale, (y - top) * scale) for x, y in stroke] for stroke in strokes]
    segments = [pair for line in lines for pair in itertools.pairwise(line)]
    weights = [math.dist(a, b) for a, b in segments]
    mass = [
        sum(w * (a[k] + b[k]) / 2 for w, (a, b) in zip(weights, segments, strict=True)) / sum(weights) for k in (0, 1)
    ]
    ink = np.zeros((spec.height, spec.width))
    for row in range(spec.height):
        for column in range(spec.width):
            at = (column + 0.5 - spec.width / 2 + mass[0], row + 0.5 - spec.height / 2 + mass[1])
            ink[row, column] = min(max(spec.stroke_width / 2 + 0.5 - min(_distance(at, *s) for s in segments), 0), 1)
    return ink * 255


def _distance(p: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    along = (b[0] - a[0], b[1] - a[1])
    squared = along[0] ** 2 + along[1] ** 2
    part = max(0.0, min(1.0, ((p[0] - a[0]) * along[0] + (p[1] - a[1]) * along[1]) / squared))
    return math.dist(p, (a[0] + part * along[0], a[1] + part * along[1]))


def test_it_is_the_distance_to_the_nearest_segment() -> None:
    assert np.abs(drawn(SEVEN) - reference(SEVEN, SPEC)).max() <= 0.5 + 1e-9


@given(st.floats(0.01, 1000), st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_scale_and_place_of_the_canvas_do_not_matter(scale: float, right: float, down: float) -> None:
    moved = [[(x * scale + right, y * scale + down) for x, y in stroke] for stroke in SEVEN]
    assert np.abs(drawn(moved) - drawn(SEVEN)).max() <= 1


@given(st.integers(2, 400))
def test_the_number_of_points_on_the_way_does_not_matter(points: int) -> None:
    (corners,) = SEVEN
    fine = [
        (a[0] + (b[0] - a[0]) * k / points, a[1] + (b[1] - a[1]) * k / points)
        for a, b in itertools.pairwise(corners)
        for k in range(points + 1)
    ]
    assert np.abs(drawn([fine]) - drawn(SEVEN)).max() <= 40  # thinning may cut a corner by a fifth of a pixel


def test_ink_fits_the_frame_and_its_mass_is_in_the_middle() -> None:
    ink = drawn(SEVEN)
    rows, columns = np.nonzero(ink)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (20, 21, 22)
    middle = [(ink.sum(axis=1 - k) * (np.arange(28) + 0.5)).sum() / ink.sum() for k in (0, 1)]
    assert middle == pytest.approx([14, 14], abs=0.35)


@pytest.mark.parametrize("strokes", [[[(5.0, 5.0)]], [[(5.0, 5.0), (5.0, 5.0)]], [[(1.0, 1.0)], [(1.0, 1.0)]]])
def test_a_dot_is_a_dot_in_the_middle(strokes: list[list[tuple[float, float]]]) -> None:
    ink = drawn(strokes)
    rows, columns = np.nonzero(ink)
    assert set(rows) | set(columns) <= {12, 13, 14, 15}
    assert ink.max() == 255 or ink.max() > 200


def test_a_third_value_of_a_point_is_not_used() -> None:
    timed = [[(x, y, 40.0 * k) for k, (x, y) in enumerate(SEVEN[0])]]
    assert (rasterise(timed, SPEC) == rasterise(SEVEN, SPEC)).all()


def test_many_wild_points_are_drawn_as_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = [[(float(k * 7919 % 1009), float(k * 104729 % 997)) for k in range(700)]]
    whole = drawn(wild)
    monkeypatch.setattr("pileus.preprocessing.strokes._PIECES_AT_ONCE", 100_000)
    assert (drawn(wild) == whole).all()


@pytest.mark.parametrize(
    ("strokes", "told"),
    [
        ([], "at least one point"),
        ([[]], "at least one point"),
        ([[(1.0, math.nan)]], "finite"),
        ([[(1.0, 1e12)]], "finite"),
        ([[1.0, 2.0]], "list of [x, y] points"),
    ],
)
def test_what_is_no_drawing_is_refused(strokes: list[list[tuple[float, float]]], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        rasterise(strokes, SPEC)
    assert told in str(raised.value)
