"""One digit by many hands, pens and canvases: drawn to a picture, or sent as strokes where only these are changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from drawn.answers import Asked, Body, of_picture, of_strokes
from pileus.data.sources.scribbles import Lines
from pileus.data.sources.strokes import DrawnDigit

CANVAS_PX = 280
_FINE = 2
"""Drawn so many times larger, against jagged edges."""
_PAPER, _INK = 250, 20


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Lengths are parts of the digit's height unless they say otherwise."""

    pen: float = 0.09
    shake: float = 0.0
    """Standard deviation of each point of the tablet about its place."""
    slant_deg: float = 0.0
    """To either side."""
    cut: float = 0.0
    """Part of the longest line that is missing somewhere within."""
    height: float = 0.55
    """Part of the canvas."""
    away: float = 0.0
    """Of the canvas' middle, in parts of its side, in any direction."""
    side_px: int = CANVAS_PX
    """To which the finished picture is shrunk."""


HANDS: dict[str, dict[str, Hand]] = {
    "none": {"": Hand()},
    "thick": {f"{pen:.0%}": Hand(pen=pen) for pen in (0.14, 0.18, 0.22, 0.28)},
    "thin": {f"{pen:.1%}": Hand(pen=pen) for pen in (0.05, 0.03, 0.02, 0.01)},
    "shaky": {f"{shake:.1%}": Hand(shake=shake) for shake in (0.01, 0.02, 0.03, 0.05)},
    "slant": {f"{degrees}°": Hand(slant_deg=degrees) for degrees in (10, 20, 30, 40)},
    "small": {f"{height:.0%}": Hand(height=height) for height in (0.3, 0.15, 0.1, 0.06)},
    "off-centre": {f"{away:.0%}": Hand(height=0.3, away=away) for away in (0.1, 0.2, 0.3, 0.34)},
    "cut strokes": {f"{cut:.0%}": Hand(cut=cut) for cut in (0.05, 0.1, 0.2, 0.3)},
    "down-sampled": {f"{side} px": Hand(side_px=side) for side in (112, 56, 28, 20)},
}
"""By what is done and how much of it."""


def in_a_picture(digit: DrawnDigit, hand: Hand, rng: np.random.Generator) -> Asked:
    return Asked(_drawn(_lines(digit, hand, rng), hand, rng), str(digit.label))


def in_strokes(digit: DrawnDigit, hand: Hand, rng: np.random.Generator) -> Asked:
    return Asked(of_strokes([100 * line for line in _lines(digit, hand, rng)]), str(digit.label))


def is_of_strokes(hand: Hand) -> bool:
    """Whether strokes show what is done: no pen, no place and no size does."""
    return hand == Hand(shake=hand.shake, slant_deg=hand.slant_deg, cut=hand.cut)


def _lines(digit: DrawnDigit, hand: Hand, rng: np.random.Generator) -> Lines:
    """About (0, 0), of a height (or width, where that is more) of 1 before they are changed."""
    points = np.concatenate(digit.strokes).astype(float)
    low, high = points.min(axis=0), points.max(axis=0)
    unit = [(stroke - (low + high) / 2) / max(float((high - low).max()), 1.0) for stroke in digit.strokes]
    lean = np.tan(np.radians(hand.slant_deg)) * rng.choice([-1.0, 1.0])
    leant = [line @ np.array([[1.0, 0.0], [-lean, 1.0]]) for line in unit]
    return _cut([line + rng.normal(0.0, 1.0, line.shape) * hand.shake for line in leant], hand.cut, rng)


def _cut(lines: Lines, part: float, rng: np.random.Generator) -> Lines:
    """A gap of that part of the longest line's points, between its ends."""
    longest = max(range(len(lines)), key=lambda number: len(lines[number]))
    line = lines[longest]
    missing = round(part * len(line))
    if missing == 0 or missing > len(line) - 4:
        return lines
    start = int(rng.integers(2, len(line) - missing - 1))
    return [*lines[:longest], line[:start], line[start + missing :], *lines[longest + 1 :]]


def _drawn(lines: Lines, hand: Hand, rng: np.random.Generator) -> Body:
    side = CANVAS_PX * _FINE
    direction = rng.uniform(0.0, 2 * np.pi)
    middle = side * (0.5 + hand.away * np.array([np.cos(direction), np.sin(direction)]))
    width = max(1.0, hand.pen * hand.height * side)
    sheet = Image.new("L", (side, side), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for line in lines:
        places = middle + line * hand.height * side
        pen.line([(x, y) for x, y in places], fill=_INK, width=round(width), joint="curve")
        for x, y in places:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=_INK)
    return of_picture(sheet.resize((hand.side_px, hand.side_px), Image.Resampling.BOX))
