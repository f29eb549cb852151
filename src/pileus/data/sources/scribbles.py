"""Lines that are no writing: scribbles, marks that look like letters of no alphabet, dots and dashes, filled shapes.

Points are (x, y), y downwards, in units of the height of a digit, which is about 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Lines = list[NDArray[np.float64]]
"""Each (n, 2)."""
Picked = TypeVar("Picked")

_CORNERS = np.array([(x, y) for y in (0.0, 0.5, 1.0) for x in (0.0, 0.35, 0.7)])
"""Where the strokes of a mark begin and end."""


class Chances:
    """Draws in [0, 1), taken one after the other; the sample that they are of has no others."""

    def __init__(self, draws: NDArray[np.float64]) -> None:
        self._draws = iter(draws.tolist())

    def between(self, low: float, high: float) -> float:
        return float(low + (high - low) * next(self._draws))

    def whole(self, low: int, high: int) -> int:
        """In [low, high]."""
        return low + int((high - low + 1) * next(self._draws))

    def pick(self, among: Sequence[Picked]) -> Picked:
        return among[self.whole(0, len(among) - 1)]


def scribble(chances: Chances) -> Lines:
    """One or two smooth lines that go to and fro without aim."""
    return [_wandering(chances) for _ in range(chances.whole(1, 2))]


def _wandering(chances: Chances) -> NDArray[np.float64]:
    """Three waves across, three down: a Lissajous figure that never closes."""
    time = np.linspace(0.0, 1.0, 60)
    waves = np.zeros((60, 2))
    for axis in (0, 1):
        for turns in (1.0, 2.5, 5.0):
            phase, speed = chances.between(0.0, 2 * np.pi), chances.between(0.4, 1.0)
            waves[:, axis] += np.sin(2 * np.pi * turns * speed * time + phase) * chances.between(0.2, 1.0) / turns**0.5
    return waves


def zigzag(chances: Chances) -> Lines:
    """Hatching: up and down, moving on."""
    num_turns = chances.whole(4, 14)
    along = np.linspace(0.0, chances.between(0.6, 2.5), num_turns)
    across = np.where(np.arange(num_turns) % 2, 1.0, 0.0)
    across += [chances.between(-0.15, 0.15) for _ in range(num_turns)]
    return [turned([np.stack([along, across], axis=1)], chances.between(0.0, 360.0))[0]]


def mark(chances: Chances) -> Lines:
    """Two to four straight or bent strokes between points of a grid, as a letter is built."""
    lines = []
    for _ in range(chances.whole(2, 4)):
        start, end = (_CORNERS[chances.whole(0, len(_CORNERS) - 1)] for _ in range(2))
        bend = chances.between(-0.6, 0.6) if chances.whole(0, 1) else 0.0
        lines.append(_bent(start, end if (start != end).any() else start + 0.4, bend))
    jitter = [chances.between(-0.08, 0.08) for _ in range(2 * len(lines))]
    return [line + jitter[2 * number : 2 * number + 2] for number, line in enumerate(lines)]


def _bent(start: NDArray[np.float64], end: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    """A parabola whose middle is off the chord by this part of its length."""
    part = np.linspace(0.0, 1.0, 12)[:, None]
    normal = np.array([start[1] - end[1], end[0] - start[0]])
    return np.asarray(start + (end - start) * part + normal * (4 * bend * part * (1 - part)), np.float64)


def dots(chances: Chances) -> Lines:
    """A dot or some."""
    return [np.array([[chances.between(0, 1), chances.between(0, 1)]]) for _ in range(chances.whole(1, 5))]


def dashes(chances: Chances) -> Lines:
    """Lines that lie more than they stand: minus, equals, tilde."""
    lines = []
    for number in range(chances.whole(1, 2)):
        slant = chances.between(-0.35, 0.35)
        line = _bent(np.zeros(2), np.array([1.0, slant]), chances.between(-0.12, 0.12))
        lines.append(line + np.array([0.0, 0.3 * number]))
    return lines


def turned(lines: Lines, degrees: float) -> Lines:
    """About the origin, clockwise as it is seen."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [line @ np.array([[cosine, sine], [-sine, cosine]]) for line in lines]


def blank(chances: Chances, noise_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W): nothing, or faint noise."""
    return np.asarray(noise_HW * chances.pick((0.0, 8.0, 40.0, 90.0)), np.uint8)


def texture(chances: Chances, noise_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W): noise of all levels, coarse or fine."""
    coarse = chances.pick((1, 2, 4, 7))
    side = -(-max(noise_HW.shape) // coarse)
    tiles = np.kron(noise_HW[:side, :side], np.ones((coarse, coarse)))[: noise_HW.shape[0], : noise_HW.shape[1]]
    return np.asarray(np.clip(tiles * chances.between(150, 400) - chances.between(0, 120), 0, 255), np.uint8)


def filled(chances: Chances, noise_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W): one to three rectangles and ellipses, each of an even grey with a gradient and some noise."""
    height, width = noise_HW.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    image_HW = np.zeros((height, width))
    for _ in range(chances.whole(1, 3)):
        centre_y, centre_x = chances.between(-0.4, 0.4), chances.between(-0.4, 0.4)
        tall, wide = chances.between(0.25, 1.0), chances.between(0.25, 1.0)
        down, across = (y - centre_y) / tall, (x - centre_x) / wide
        across = across + chances.between(-0.6, 0.6) * down
        inside = np.maximum(abs(down), abs(across)) < 1 if chances.whole(0, 1) else down**2 + across**2 < 1
        grey = chances.between(60, 255) + chances.between(-60, 60) * down + chances.between(-60, 60) * noise_HW
        image_HW = np.where(inside, grey, image_HW)
    return np.asarray(np.clip(image_HW, 0, 255), np.uint8)
