"""Components are those of a plain flood fill, whatever the mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.preprocessing.components import components_of, painted, runs_of

masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda bits: np.array(bits, np.bool_).reshape(shape)
    )
)


def flooded(mask_HW: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(H, W): numbers in reading order of the first pixel, -1 outside; a pixel at a time."""
    numbers = np.full(mask_HW.shape, -1)
    count = 0
    for row, column in zip(*np.nonzero(mask_HW), strict=True):
        if numbers[row, column] >= 0:
            continue
        waiting = [(int(row), int(column))]
        while waiting:
            r, c = waiting.pop()
            inside = 0 <= r < mask_HW.shape[0] and 0 <= c < mask_HW.shape[1]
            if inside and mask_HW[r, c] and numbers[r, c] < 0:
                numbers[r, c] = count
                waiting += [(r + down, c + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        count += 1
    return numbers


@given(masks)
def test_they_are_those_of_a_flood_fill(mask_HW: NDArray[np.bool_]) -> None:
    runs = runs_of(mask_HW)
    components = components_of(runs)
    numbers = flooded(mask_HW)
    assert np.array_equal(painted(runs, components.of_run, mask_HW.shape), numbers)
    for number in range(len(components)):
        rows, columns = np.nonzero(numbers == number)
        assert components.area[number] == len(rows)
        assert (components.top[number], components.bottom[number]) == (rows.min(), rows.max() + 1)
        assert (components.left[number], components.right[number]) == (columns.min(), columns.max() + 1)


@pytest.mark.parametrize("turns", range(4))
def test_a_spiral_is_one(turns: int) -> None:
    """The worst for labels that spread from neighbour to neighbour."""
    side = 61
    mask_HW = np.zeros((side, side), np.bool_)
    row, column, down, across = 0, 0, 0, 1
    for length in [side - 1] * 3 + [n for n in range(side - 3, 0, -2) for _ in (0, 1)]:
        for _ in range(length):
            mask_HW[row, column] = True
            row, column = row + down, column + across
        down, across = across, -down
    assert len(components_of(runs_of(np.rot90(mask_HW, turns)))) == 1
