"""Rectangles about a drawn pixel, cut at the border: what cutout hides and cutmix exchanges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inside(centres_N: NDArray[np.int64], sides_N: NDArray[np.int64] | int, size: int) -> NDArray[np.bool_]:
    """(N, size) whether a row (or column) is in [centre - side // 2, centre - side // 2 + side)."""
    starts = (centres_N - sides_N // 2)[:, None]
    ends = starts + (sides_N[:, None] if isinstance(sides_N, np.ndarray) else sides_N)
    places = np.arange(size)
    return (starts <= places) & (places < ends)


def values_inside(rows_NH: NDArray[np.bool_], columns_NW: NDArray[np.bool_], num_channels: int) -> NDArray[np.bool_]:
    """(N, H, W, C) whether a value is in its image's rectangle."""
    values_NWC = np.repeat(columns_NW, num_channels, axis=1)
    inside_NHWC = rows_NH[:, :, None] & values_NWC[:, None, :]
    return inside_NHWC.reshape(*inside_NHWC.shape[:2], -1, num_channels)
