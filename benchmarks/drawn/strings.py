"""Several digits in a row: composed of one held-back writer's strokes, and the amounts of real cheques."""

from __future__ import annotations

import csv
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drawn.answers import Asked, Body, of_strokes
from pileus.data.ports import Split
from pileus.data.sources.scribbles import Lines
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.preprocessing.lattice import Box

LENGTHS = (2, 3, 4, 5)
GAPS = {"apart": (0.15, 0.5), "close": (0.0, 0.15), "touching": (-0.15, 0.0)}
"""From one digit's right edge to the next one's left, in the writer's usual height."""
_UNEVEN = 0.05
"""How far a digit may lie off the line, in that height."""


def composed(split: Split, gap: str, length: int, count: int) -> list[Asked]:
    """Each of one writer's digits."""
    rng = np.random.default_rng([length, list(GAPS).index(gap)])
    by_writer: dict[str, list[DrawnDigit]] = {}
    for digit in load_strokes(split):
        by_writer.setdefault(digit.id.split("/")[0], []).append(digit)
    writers = list(by_writer.values())
    return [_string(writers[int(rng.integers(len(writers)))], gap, length, rng) for _ in range(count)]


def _string(own: Sequence[DrawnDigit], gap: str, length: int, rng: np.random.Generator) -> Asked:
    height = float(np.median([np.ptp(np.concatenate(digit.strokes)[:, 1]) for digit in own]))
    lines: Lines = []
    text, right = "", 0.0
    for place in range(length):
        digit = own[int(rng.integers(len(own)))]
        points = np.concatenate(digit.strokes)
        left = right + (height * rng.uniform(*GAPS[gap]) if place else 0.0)
        shift = [left - points[:, 0].min(), height * rng.uniform(-_UNEVEN, _UNEVEN) - points[:, 1].max()]
        lines += [stroke + np.array(shift) for stroke in digit.strokes]
        right = max(float(line[:, 0].max()) for line in lines)
        text += str(digit.label)
    return Asked(of_strokes(lines), text)


class Cheque(NamedTuple):
    asked: Asked
    digits: list[tuple[str, Box]]
    """Of the text, each with its box as a person drew it."""
    hashed: bytes
    """Of the file's name."""


def cheques(folder: Path, half: int) -> Iterator[Cheque]:
    """The half (0: tuned on; 1: held back) of ORAND-CAR-A, by a hash of the file's name."""
    with tarfile.open(folder / "images.tar") as images, (folder / "labels.csv").open() as labels:
        for row in csv.DictReader(labels):
            hashed = hashlib.sha256(row["file"].encode()).digest()
            if hashed[0] & 1 == half:
                member = images.extractfile(row["file"])
                assert member is not None
                asked = Asked(Body(member.read(), "image/jpeg"), row["text"])
                yield Cheque(asked, [_digit(each) for each in row["boxes"].split()], hashed)


def _digit(told: str) -> tuple[str, Box]:
    digit, box = told.split(":")
    x, y, width, height = map(int, box.split(","))
    return digit, (x, y, width, height)
