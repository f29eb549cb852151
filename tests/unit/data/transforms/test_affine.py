"""The affine map does what its names say, and its bits stay."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.data.transforms.affine import distorted
from pileus.spec.augment import Augment
from tests.unit.data.transforms.pictures import draws, images

GOLDEN = "aaac137147c6a43e"
ALL = Augment(rotate_deg=20.0, scale=0.2, shear=0.3, shift=0.1)


def test_the_golden_bits() -> None:
    """Pinned: the same on every machine and version, or runs could not be resumed elsewhere."""
    content = distorted(images(16, 3), draws(16, 11, 2), ALL).tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == GOLDEN


def test_it_is_the_affine_map_sampled_bilinearly() -> None:
    """Against a plain loop over pixels with library sines."""
    size, spec = 9, Augment(rotate_deg=15.0)
    image = images(1, height=size, width=size)
    changed = distorted(image, draws(1), spec)[0, :, :, 0].astype(float)
    errors = []
    for degrees in np.linspace(-15, 15, 301):
        radians = math.radians(degrees)
        turned = np.array([[_sample(image[0, :, :, 0], r, c, radians) for c in range(size)] for r in range(size)])
        errors.append(np.abs(turned - changed).max())
    assert min(errors) < 3.0


def _sample(image: NDArray[np.uint8], row: int, column: int, radians: float) -> float:
    centre = (len(image) - 1) / 2
    down, across = row - centre, column - centre
    y = math.cos(radians) * down + math.sin(radians) * across + centre
    x = -math.sin(radians) * down + math.cos(radians) * across + centre
    total = 0.0
    for r in (math.floor(y), math.floor(y) + 1):
        for c in (math.floor(x), math.floor(x) + 1):
            if 0 <= r < len(image) and 0 <= c < len(image):
                total += float(image[r, c]) * (1 - abs(y - r)) * (1 - abs(x - c))
    return total


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_moves_the_ink_within_its_bound(axis: int) -> None:
    dot = np.zeros((200, 21, 21, 1), np.uint8)
    dot[:, 10, 10] = 255
    moved = distorted(dot, draws(200), Augment(shift=0.2)).astype(float)
    places = np.arange(21)
    ink = moved.sum(axis=(2 - axis, 3))
    centres = (ink * places).sum(axis=1) / ink.sum(axis=1)
    assert np.abs(centres - 10).max() <= 0.2 * 21 + 0.1
    assert centres.std() > 1.5
