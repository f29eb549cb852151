from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.data.sources import scribbles
from pileus.data.sources.scribbles import Chances, Lines


def chances(seed: int = 0, count: int = 256) -> Chances:
    return Chances(np.random.default_rng(seed).random(count))


def test_chances_stay_within_their_bounds() -> None:
    drawn = chances(1, 4000)
    assert {drawn.whole(2, 4) for _ in range(1000)} == {2, 3, 4}
    assert {drawn.pick("ab") for _ in range(1000)} == {"a", "b"}
    numbers = [drawn.between(-1.0, 3.0) for _ in range(1000)]
    assert -1.0 <= min(numbers) < -0.9
    assert 2.9 < max(numbers) < 3.0


@pytest.mark.parametrize(
    "draw", [scribbles.scribble, scribbles.zigzag, scribbles.mark, scribbles.dots, scribbles.dashes]
)
def test_lines_are_points_about_a_digit_in_size(draw: Callable[[Chances], Lines]) -> None:
    for seed in range(40):
        for line in draw(chances(seed)):
            assert line.ndim == 2
            assert line.shape[1] == 2
            assert np.isfinite(line).all()
            assert abs(line).max() < 8


def test_dots_have_one_point_each() -> None:
    assert {len(line) for seed in range(20) for line in scribbles.dots(chances(seed))} == {1}


def test_a_quarter_turns_right_to_down() -> None:
    """Clockwise as it is seen, y downwards."""
    (line,) = scribbles.turned([np.array([[1.0, 0.0]])], 90.0)
    assert line == pytest.approx(np.array([[0.0, 1.0]]), abs=1e-12)


@pytest.mark.parametrize("paint", [scribbles.blank, scribbles.texture, scribbles.filled])
@pytest.mark.parametrize("shape", [(28, 28), (30, 17)])
def test_pictures_have_the_shape_of_their_noise(
    paint: Callable[[Chances, NDArray[np.float64]], NDArray[np.uint8]], shape: tuple[int, int]
) -> None:
    for seed in range(10):
        image_HW = paint(chances(seed), np.random.default_rng(seed).random(shape))
        assert image_HW.shape == shape
        assert image_HW.dtype == np.uint8


def test_a_blank_is_faint() -> None:
    noise_HW = np.random.default_rng(0).random((28, 28))
    assert max(int(scribbles.blank(chances(seed), noise_HW).max()) for seed in range(20)) <= 90
