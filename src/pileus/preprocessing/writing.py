"""A picture of writing to the model's input.

It is brought into the frame that `strokes.rasterise` draws in: white ink on black, the ink's box scaled with its aspect
kept, its centre of mass in the middle, strokes not thinner than those the model has seen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from pileus.errors import UsageError
from pileus.preprocessing import files
from pileus.preprocessing.files import Fitted
from pileus.spec.preprocessing import Drawing

_LEAST_CONTRAST = 24
"""Levels of 255 between ink and ground; fainter is taken for an empty sheet."""

_DETAIL = 4
"""Pixels of the working copy for one pixel of the frame."""


_MOST_SIDE = 1280
"""Pixels of the longer side of what is worked on: writing is legible well below."""

_FAINT = 0.8
"""Of the threshold of ink: from where on a soft edge is seen."""

_SURROUNDINGS = 0.25
"""Part of the longer side, but at most the shorter one: how far the paper's tone is looked for."""


class NoWriting(UsageError):  # noqa: N818 - named for what is seen
    """A picture that can be read and has no ink."""


class Ink(NamedTuple):
    ink_HW: NDArray[np.uint8]
    """How far each pixel is from the paper's own tone about it towards the ink's."""
    threshold: int
    """From where on it is ink."""
    factor: int
    """Pixels of the picture, down and across, for one of these."""


def fit_writing(picture: Image.Image, spec: Drawing) -> Fitted:
    """The model's input from an upright picture, taken as one item. NoWriting where it shows none."""
    grey = grey_of(picture)
    if is_frame(grey, spec):
        return Fitted(np.asarray(grey, np.uint8)[:, :, None].copy(), (0, 0, spec.width, spec.height))
    ink = ink_of(grey)
    sure_HW = ink.ink_HW >= ink.threshold
    rows, columns = np.flatnonzero(sure_HW.any(axis=1)), np.flatnonzero(sure_HW.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    framed_HW = framed(ink.ink_HW[top:bottom, left:right], ink.threshold, spec)
    x, y = int(left) * ink.factor, int(top) * ink.factor
    right, bottom = min(int(right) * ink.factor, grey.width), min(int(bottom) * ink.factor, grey.height)
    return Fitted(framed_HW[:, :, None], (x, y, right - x, bottom - y))


def grey_of(picture: Image.Image) -> Image.Image:
    return files.flattened(picture, "L", ground=_ground_for_ink(picture))


def is_frame(grey: Image.Image, spec: Drawing) -> bool:
    """Whether it is the model's input already, as MNIST's pictures are."""
    grey_HW = np.asarray(grey, np.uint8)
    return grey_HW.shape == (spec.height, spec.width) and not np.median(_border(grey_HW)) and bool(grey_HW.any())


def ink_of(grey: Image.Image) -> Ink:
    """Dark on light or light on dark is found out. NoWriting where there is none."""
    grey_HW = np.asarray(grey, np.uint8)
    ground = int(np.median(_border(grey_HW)))
    ink_of_level, _ = _ink_of_level(np.array(grey.histogram(), np.float64), ground)
    factor = math.ceil(max(grey_HW.shape) / _MOST_SIDE)
    ink_HW = _on_even_paper(block_maximum(ink_of_level[grey_HW], factor))
    return Ink(ink_HW, _threshold(np.bincount(ink_HW.ravel(), minlength=256).astype(np.float64)), factor)


def _on_even_paper(ink_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Less what the paper about each pixel has, so that shadows and tinted paper are no ink."""
    threshold = _threshold(np.bincount(ink_HW.ravel(), minlength=256).astype(np.float64))
    paper_HW = ink_HW < threshold
    side = min(max(ink_HW.shape) * _SURROUNDINGS, min(ink_HW.shape))
    half = max(2, int(side / 2))
    levels = _sums_about(np.where(paper_HW, ink_HW, 0), half) / np.maximum(_sums_about(paper_HW, half), 1)
    over = np.maximum(ink_HW - levels, 0.0)
    return np.asarray(np.rint(over * (255.0 / max(float(over.max()), 1.0))), np.uint8)


def _sums_about(values_HW: NDArray[Any], half: int) -> NDArray[np.int64]:
    """Of the pixels no farther than `half` down and across, by a table of sums."""
    height, width = values_HW.shape
    table = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(np.cumsum(values_HW, axis=0, dtype=np.int64), axis=1, out=table[1:, 1:])
    top, bottom = np.maximum(np.arange(height) - half, 0), np.minimum(np.arange(height) + half + 1, height)
    left, right = np.maximum(np.arange(width) - half, 0), np.minimum(np.arange(width) + half + 1, width)
    rows = table[bottom] - table[top]
    return np.asarray(rows[:, right] - rows[:, left], np.int64)


def _ground_for_ink(picture: Image.Image) -> int:
    """A transparent sheet is white, unless what is drawn on it is light."""
    if not picture.has_transparency_data:
        return 255
    grey, alpha = picture.convert("LA").split()
    counts = np.array(grey.histogram(mask=alpha.point([0] * 128 + [255] * 128)), np.float64)
    return 0 if (counts * np.arange(256)).sum() > 127 * counts.sum() else 255


def _border(grey_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([grey_HW[0], grey_HW[-1], grey_HW[:, 0], grey_HW[:, -1]])


def _ink_of_level(counts: NDArray[np.float64], ground: int) -> tuple[NDArray[np.uint8], int]:
    """(256,) by grey level: how far it is from the ground towards the ink; and from where on it is ink.

    `counts` (256,): pixels of each level.
    """
    levels = np.flatnonzero(counts)
    darker, lighter = ground - int(levels[0]), int(levels[-1]) - ground
    contrast = max(darker, lighter)
    if contrast < _LEAST_CONTRAST:
        raise NoWriting("the picture shows no writing: it is one even tone; send one with ink that stands out.")
    sign = -1 if darker >= lighter else 1
    ink_of_level = np.clip(sign * (np.arange(256) - ground) * 255 // contrast, 0, 255)
    ink_counts = np.bincount(ink_of_level, weights=counts, minlength=256).astype(np.float64)
    return ink_of_level.astype(np.uint8), _threshold(ink_counts)


def _threshold(counts: NDArray[np.float64]) -> int:
    """Otsu's (1979): the first level of ink, with the greatest variance between ink and ground."""
    below, sum_below = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above, sum_above = below[-1] - below, sum_below[-1] - sum_below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sum_below / below - sum_above / above
    return int(np.argmax(np.nan_to_num(below * above * apart**2))) + 1


def framed(ink_HW: NDArray[np.uint8], threshold: int, spec: Drawing) -> NDArray[np.uint8]:
    """Cut-out ink into the frame: scaled to the box, strokes thickened where too thin, centred by mass."""
    coarse = max(1, math.floor(max(ink_HW.shape) / (spec.box * _DETAIL)))
    ink_HW = _even(_without_noise(block_maximum(ink_HW, coarse), threshold), threshold)
    thickening = spec.stroke_width * max(ink_HW.shape) / spec.box - stroke_width(ink_HW)
    working = Image.fromarray(ink_HW)
    if thickening >= 1:
        radius = math.ceil(thickening / 2)
        working = ImageOps.expand(working, radius).filter(ImageFilter.MaxFilter(2 * radius + 1))
    return _placed(working, spec)


def block_maximum(ink_HW: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Smaller by a whole factor; a thin line keeps its strength."""
    if factor == 1:
        return ink_HW
    height, width = (math.ceil(side / factor) for side in ink_HW.shape)
    padded_HW = np.zeros((height * factor, width * factor), np.uint8)
    padded_HW[: ink_HW.shape[0], : ink_HW.shape[1]] = ink_HW
    return np.asarray(padded_HW.reshape(height, factor, width, factor).max(axis=(1, 3)), np.uint8)


def _without_noise(ink_HW: NDArray[np.uint8], threshold: int) -> NDArray[np.uint8]:
    """Faint pixels stay where they touch sure ink, as the soft edge of a stroke; elsewhere they are paper."""
    sure = Image.fromarray(np.where(ink_HW >= threshold, 255, 0).astype(np.uint8))
    edge_HW = np.asarray(sure.filter(ImageFilter.MaxFilter(3))) > 0
    return np.where(edge_HW & (ink_HW >= threshold // 2), ink_HW, 0).astype(np.uint8)


def _even(ink_HW: NDArray[np.uint8], threshold: int) -> NDArray[np.uint8]:
    """Half of the sure ink at full strength, as in what models have learned from; what is just paper at none."""
    sure = ink_HW[ink_HW >= threshold]
    if not len(sure):
        return ink_HW
    faint, full = _FAINT * threshold, float(np.median(sure))
    even_HW = (ink_HW - faint) * (255.0 / max(full - faint, 1.0))
    return np.asarray(np.clip(even_HW, 0, 255), np.uint8)


def stroke_width(ink_HW: NDArray[np.uint8]) -> float:
    """In pixels: the area of the ink by half the length of its outline."""
    inked_HW = np.pad(ink_HW > 127, 1)
    outline = np.count_nonzero(np.diff(inked_HW, axis=0)) + np.count_nonzero(np.diff(inked_HW, axis=1))
    slanted = 4 / math.pi
    return float(2 * np.count_nonzero(inked_HW) / max(outline / slanted, 1.0))


def _placed(working: Image.Image, spec: Drawing) -> NDArray[np.uint8]:
    """The longer side becomes the box, the centre of mass the middle, to parts of a pixel; no ink is lost."""
    unit = max(working.size) / spec.box
    ink_HW = np.asarray(working, np.float64)
    room = math.ceil(max(spec.height, spec.width) * unit)
    left, right = _window(ink_HW.sum(axis=0), spec.width * unit)
    top, bottom = _window(ink_HW.sum(axis=1), spec.height * unit)
    frame = ImageOps.expand(working, room).resize(
        (spec.width, spec.height),
        Image.Resampling.HAMMING,
        box=(left + room, top + room, right + room, bottom + room),
    )
    frame_HW = np.asarray(frame, np.float64)
    frame_HW = np.clip(frame_HW * (255.0 / max(float(frame_HW.max()), 1.0)), 0, 255)
    return np.asarray(np.rint(frame_HW), np.uint8)


def _window(mass: NDArray[np.float64], length: float) -> tuple[float, float]:
    """[start, stop) of this length around the centre of mass, as far as it holds all of [0, len(mass))."""
    centre = float((mass * (np.arange(len(mass)) + 0.5)).sum() / mass.sum())
    start = min(max(centre - length / 2, len(mass) - length), 0.0)
    return start, start + length
