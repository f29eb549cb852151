"""Resizing and mirroring pictures, in whole numbers, so that every machine gives the same bits.

Resizing is bilinear, with pixel centres at halves and weights of 1/256: what OpenCV calls INTER_LINEAR_EXACT. OpenCV
does it where it is installed; else numpy does, some ten times slower, and the tests hold the two equal bit for bit.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

try:
    import cv2
except ImportError:
    cv2 = None  # type: ignore[assignment]  # the extra `read` brings it

_UNITS = 256


def resize(image_HWC: NDArray[np.uint8], into_HWC: NDArray[np.uint8]) -> None:
    """Fill `into_HWC` with the whole picture; channels must agree. Halved first while both sides allow it."""
    height, width, channels = into_HWC.shape
    while min(image_HWC.shape[0] // height, image_HWC.shape[1] // width) >= 2:
        image_HWC = halved(image_HWC)
    if image_HWC.shape == into_HWC.shape:
        into_HWC[...] = image_HWC
    elif cv2 is None or not into_HWC.flags.c_contiguous:
        into_HWC[...] = interpolated(image_HWC, height, width)
    else:
        _one_thread()
        planes = (image_HWC[:, :, 0], into_HWC[:, :, 0]) if channels == 1 else (image_HWC, into_HWC)
        cv2.resize(planes[0], (width, height), dst=planes[1], interpolation=cv2.INTER_LINEAR_EXACT)


def mirror(image_HWC: NDArray[np.uint8], into_HWC: NDArray[np.uint8]) -> None:
    """Fill `into_HWC` with the picture, left and right exchanged."""
    if cv2 is None or not into_HWC.flags.c_contiguous:
        into_HWC[...] = image_HWC[:, ::-1]
    else:
        _one_thread()
        cv2.flip(image_HWC, 1, dst=into_HWC)


@functools.cache
def _one_thread() -> None:
    """A picture is too small to share, and threads of OpenCV's own would crowd those that read."""
    cv2.setNumThreads(1)


def halved(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel the mean of four, halves up; a last odd row or column is left out. Both sides must be 2 or more."""
    height, width = (side // 2 * 2 for side in image_HWC.shape[:2])
    total = image_HWC[0:height:2, 0:width:2].astype(np.uint16)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        total += image_HWC[row:height:2, column:width:2]
    return ((total + 2) >> 2).astype(np.uint8)


def interpolated(image_HWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, C): what OpenCV's INTER_LINEAR_EXACT gives (modules/imgproc/src/resize.cpp, resize_bitExact)."""
    upper_H, down_H = _places(image_HWC.shape[0], height)
    left_W, across_W = _places(image_HWC.shape[1], width)
    lower_H, right_W = _next(upper_H, image_HWC.shape[0]), _next(left_W, image_HWC.shape[1])
    down = down_H[:, None, None]
    between: NDArray[np.uint32] = image_HWC[upper_H] * (_UNITS - down) + image_HWC[lower_H] * down
    across = across_W[None, :, None]
    total: NDArray[np.uint32] = between[:, left_W] * (_UNITS - across) + between[:, right_W] * across
    return np.asarray((total + _UNITS**2 // 2) >> 16, np.uint8)


def _places(size: int, new_size: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """For each new row (or column): the one before it, and how far behind that it lies, in 1/256 pixel."""
    places = (1.0 / (new_size / size)) * (np.arange(new_size) + 0.5) - 0.5
    before = np.floor(places).astype(np.int64)
    behind = np.rint((places - before) * _UNITS)
    behind[(before < 0) | (before >= size - 1)] = 0
    return np.clip(before, 0, size - 1), behind.astype(np.uint32)


def _next(before: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.minimum(before + 1, size - 1)
