"""Least squares against coefficients that are known, against intervals of the textbook, and where it must refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import linregress  # type: ignore[import-untyped]
from scipy.stats import t as student

from pileus.bench.reading.regression import Fit, Unfit, cost_of_reading, least_squares, speed_effects

STARTUP_S, BATCH_S, IMAGE_S = 0.05, 0.004, 0.0008


def trials(repetitions: int) -> tuple[list[int], list[int]]:
    """(batches, images) of a design that tells them apart."""
    design = list(itertools.product((16, 64), (2, 8))) * repetitions
    return [batches for _, batches in design], [size * batches for size, batches in design]


def fitted(found: Fit | Unfit) -> Fit:
    assert isinstance(found, Fit)
    return found


def test_known_coefficients_come_back() -> None:
    batches, images = trials(2)
    wall_s = [STARTUP_S + BATCH_S * b + IMAGE_S * i for b, i in zip(batches, images, strict=True)]
    fit = fitted(cost_of_reading(batches, images, wall_s))
    for name, value in (("start-up", STARTUP_S), ("per batch", BATCH_S), ("per image", IMAGE_S)):
        assert fit.of(name).value == pytest.approx(value, rel=1e-9)
        assert fit.of(name).low <= fit.of(name).value <= fit.of(name).high
    assert fit.n == 8
    assert fit.r2 == pytest.approx(1.0)
    assert np.allclose(fit.residuals, 0, atol=1e-12)


def test_one_column_is_what_scipy_finds() -> None:
    rng = np.random.default_rng(5)
    x_N = rng.uniform(1, 9, 20)
    y_N = 3 + 2 * x_N + rng.normal(0, 0.7, 20)
    fit = fitted(least_squares({"at 0": np.ones(20).tolist(), "slope": x_N.tolist()}, y_N.tolist(), "y"))
    known = linregress(x_N, y_N)
    half = student.ppf(0.975, 18) * known.stderr
    slope = fit.of("slope")
    assert (slope.low, slope.value, slope.high) == pytest.approx((known.slope - half, known.slope, known.slope + half))
    assert fit.of("at 0").high == pytest.approx(known.intercept + student.ppf(0.975, 18) * known.intercept_stderr)
    assert fit.r2 == pytest.approx(known.rvalue**2)


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 600 studies an interval of 95 % holds the truth in 547 to 589, with a certainty of 0.9999."""
    rng = np.random.default_rng(11)
    batches, images = trials(3)
    said = STARTUP_S + BATCH_S * np.array(batches) + IMAGE_S * np.array(images)
    held = dict.fromkeys(("start-up", "per batch", "per image"), 0)
    for _ in range(600):
        fit = fitted(cost_of_reading(batches, images, (said + rng.normal(0, 0.01, len(said))).tolist()))
        for name, truth in zip(held, (STARTUP_S, BATCH_S, IMAGE_S), strict=True):
            held[name] += fit.of(name).low <= truth <= fit.of(name).high
    assert all(547 <= count <= 589 for count in held.values()), held


@pytest.mark.parametrize(
    ("sizes", "numbers", "words"),
    [((16,), (2, 8), "got 1 and 2"), ((16, 64), (4,), "got 2 and 1"), ((16,), (4,), "got 1 and 1")],
)
def test_what_the_design_cannot_tell_apart_is_said(
    sizes: tuple[int, ...], numbers: tuple[int, ...], words: str
) -> None:
    design = list(itertools.product(sizes, numbers)) * 4
    found = cost_of_reading([b for _, b in design], [s * b for s, b in design], [1.0] * len(design))
    assert isinstance(found, Unfit)
    assert words in found.reason


def test_too_few_trials_and_equal_columns_are_no_fit() -> None:
    assert isinstance(least_squares({"a": [1.0, 1.0], "b": [1.0, 2.0]}, [1.0, 2.0], "y"), Unfit)
    assert isinstance(least_squares({"a": [1.0] * 4, "b": [2.0] * 4}, [1.0, 2.0, 3.0, 4.0], "y"), Unfit)
    flat = fitted(least_squares({"a": [1.0] * 4}, [2.0] * 4, "y"))
    assert flat.r2 is None
    assert flat.of("a").value == pytest.approx(2.0)


def test_effects_are_ratios_to_the_base_level() -> None:
    levels = [
        {"format": form, "readers": readers, "cache": "warm"}
        for form, readers in itertools.product(("files", "shards"), ("1", "2"))
        for _ in range(3)
    ]
    factor = {"shards": 1.3, "2": 1.9}
    speeds = [100 * factor.get(row["format"], 1.0) * factor.get(row["readers"], 1.0) for row in levels]
    fit, effects = speed_effects(levels, speeds, {"format": "files", "readers": "1", "cache": "warm"})
    assert fitted(fit).formula == "log(images per second) = base + format + readers"
    assert [(each.factor, each.level, each.base) for each in effects] == [
        ("format", "shards", "files"),
        ("readers", "2", "1"),
    ]
    assert [each.ratio.value for each in effects] == pytest.approx([1.3, 1.9])


def test_a_factor_of_which_these_trials_have_one_level_is_left_out() -> None:
    levels = [{"format": form, "cache": "cold"} for form in ("files", "shards", "files", "shards")]
    _, effects = speed_effects(levels, [10.0, 20.0, 11.0, 19.0], {"format": "files", "cache": "warm"})
    assert [each.factor for each in effects] == ["format"]
    nothing, none = speed_effects([{"cache": "cold"}] * 3, [1.0, 2.0, 3.0], {"cache": "warm"})
    assert (isinstance(nothing, Unfit), none) == (True, [])
