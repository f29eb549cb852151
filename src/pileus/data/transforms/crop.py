"""Crops: the image's own size out of the widened image, or a rectangle enlarged to it."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pileus.data.transforms.draws import Draws, Family, below
from pileus.preprocessing.geometry import resize
from pileus.spec.augment import PadCrop, ResizedCrop


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
    """A rectangle of each image, resized to the image's own size."""
    count, height, width, _ = images_NHWC.shape
    made_NHWC = np.empty_like(images_NHWC)
    boxes_N4 = rectangles(draws, np.full(count, height), np.full(count, width), spec)
    for image_HWC, (top, left, tall, wide), made_HWC in zip(images_NHWC, boxes_N4.tolist(), made_NHWC, strict=True):
        resize(image_HWC[top : top + tall, left : left + wide], made_HWC)
    return made_NHWC


def rectangles(
    draws: Draws, heights_N: NDArray[np.int64], widths_N: NDArray[np.int64], spec: ResizedCrop
) -> NDArray[np.int64]:
    """(N, 4) top, left, height, width in whole pixels, of images of these sizes.

    (1 + x) / (1 - x) for x even about 0 stands for the exponential of 2 x: within a hundredth for the usual 4/3, as
    likely wide as tall, and the same on every machine.
    """
    chances = draws.of(Family.RESIZED_CROP, 4)
    areas = (spec.area_min + chances[:, 0] * (spec.area_max - spec.area_min)) * (heights_N * widths_N)
    lean = (chances[:, 1] * 2 - 1) * ((spec.aspect - 1) / (spec.aspect + 1))
    aspects = (1 + lean) / (1 - lean)
    sizes_N2 = np.stack([heights_N, widths_N], axis=1)
    sides_N2 = np.stack([np.sqrt(areas / aspects), np.sqrt(areas * aspects)], axis=1)
    sides_N2 = np.clip(np.floor(sides_N2 + 0.5).astype(np.int64), 1, sizes_N2)
    starts_N2 = np.floor(chances[:, 2:4] * (sizes_N2 - sides_N2 + 1)).astype(np.int64)
    return np.concatenate([starts_N2, sides_N2], axis=1)
