"""Crops: the image's own size out of the widened image, or a rectangle enlarged to it."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family, below
from pileus.spec.augment import PadCrop, ResizedCrop

_SUBPIXELS = 256
"""Places are rounded to 1/256 pixel, so that interpolation is integer arithmetic."""


def pad_cropped(images_NHWC: NDArray[np.uint8], draws: Draws, spec: PadCrop) -> NDArray[np.uint8]:
    """Each image at one of the (2 padding + 1)**2 places within its widened self, all equally likely."""
    count, height, width, channels = images_NHWC.shape
    places = draws.of(Family.PAD_CROP, 2)
    top, left = (below(places[:, axis], 2 * spec.padding + 1) for axis in range(2))
    rows = padded(images_NHWC, spec).reshape(count, height + 2 * spec.padding, -1)
    windows = sliding_window_view(rows, (height, width * channels), axis=(1, 2))
    return np.asarray(windows[np.arange(count), top, left * channels], np.uint8).reshape(images_NHWC.shape)


def padded(images_NHWC: NDArray[np.uint8], spec: PadCrop) -> NDArray[np.uint8]:
    """(N, H + 2 padding, W + 2 padding, C); padding must be below H and W."""
    count, height, width, channels = images_NHWC.shape
    edge = spec.padding
    wide = np.zeros((count, height + 2 * edge, width + 2 * edge, channels), np.uint8)
    wide[:, edge:-edge, edge:-edge] = images_NHWC
    if spec.fill == "reflect":
        wide[:, :, :edge] = wide[:, :, 2 * edge : edge : -1]
        wide[:, :, -edge:] = wide[:, :, -edge - 2 : -2 * edge - 2 : -1]
        wide[:, :edge] = wide[:, 2 * edge : edge : -1]
        wide[:, -edge:] = wide[:, -edge - 2 : -2 * edge - 2 : -1]
    return wide


def resized_cropped(images_NHWC: NDArray[np.uint8], draws: Draws, spec: ResizedCrop) -> NDArray[np.uint8]:
    """A rectangle of each image, bilinear in its image's own size. Beyond the border the outermost pixel is taken."""
    _, height, width, _ = images_NHWC.shape
    starts, sides = _rectangles(draws.of(Family.RESIZED_CROP, 4), height, width, spec)
    rows, columns = (_places(starts[:, axis], sides[:, axis], (height, width)[axis]) for axis in range(2))
    return _interpolated(images_NHWC, rows, columns)


def _rectangles(
    draws: NDArray[np.float64], height: int, width: int, spec: ResizedCrop
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 2) starts and sides in pixels, down and across.

    (1 + x) / (1 - x) for x even about 0 stands for the exponential of 2 x: within a hundredth for the usual 4/3, as
    likely wide as tall, and the same on every machine.
    """
    areas = (spec.area_min + draws[:, 0] * (spec.area_max - spec.area_min)) * (height * width)
    lean = (draws[:, 1] * 2 - 1) * ((spec.aspect - 1) / (spec.aspect + 1))
    aspects = (1 + lean) / (1 - lean)
    sides = np.stack([np.sqrt(areas / aspects), np.sqrt(areas * aspects)], axis=1)
    sides = np.minimum(sides, (height, width))
    return draws[:, 2:4] * (np.array((height, width)) - sides), sides


def _places(starts_N: NDArray[np.float64], sides_N: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """(N, size) where each output row (or column) lies in the input, in 1/256 pixel, pixel centres on whole numbers."""
    places = starts_N[:, None] + (np.arange(size) + 0.5) * (sides_N / size)[:, None] - 0.5
    return np.floor(np.clip(places, 0, size - 1) * _SUBPIXELS + 0.5).astype(np.int64)


def _interpolated(
    images_NHWC: NDArray[np.uint8], rows_NH: NDArray[np.int64], columns_NW: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Down first, then across, rounded once at the end, halves up."""
    count, height, width, channels = images_NHWC.shape
    images = np.arange(count)[:, None]
    upper, down = rows_NH // _SUBPIXELS, (rows_NH % _SUBPIXELS).astype(np.uint16)[:, :, None, None]
    between = images_NHWC[images, upper] * (_SUBPIXELS - down)
    between += images_NHWC[images, np.minimum(upper + 1, height - 1)] * down
    left = columns_NW // _SUBPIXELS
    across = np.repeat((columns_NW % _SUBPIXELS).astype(np.uint32), channels, axis=1)[:, None]
    lines = (np.arange(count * height) * width).reshape(count, height, 1)
    pixels = between.view(np.dtype((np.void, 2 * channels))).reshape(-1)

    def values(columns: NDArray[np.int64]) -> NDArray[np.uint16]:
        taken: NDArray[np.uint16] = np.take(pixels, lines + columns[:, None]).view(np.uint16)
        return taken

    total = values(left) * (_SUBPIXELS - across)
    total += values(np.minimum(left + 1, width - 1)) * across
    total += _SUBPIXELS**2 // 2
    total >>= 16
    return np.asarray(total, np.uint8).reshape(images_NHWC.shape)
