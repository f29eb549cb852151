"""Augmentation: a pure function of (seed, epoch, sample) that does what its names say."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.data.augment import augment
from pileus.spec.augment import Augment

GOLDEN = "aaac137147c6a43e"
ALL = Augment(rotate_deg=20.0, scale=0.2, shear=0.3, shift=0.1)


def images(count: int, channels: int = 1, size: int = 12) -> NDArray[np.uint8]:
    values = np.arange(count * size * size * channels, dtype=np.uint64)
    return (values * np.uint64(2654435761) >> np.uint64(13)).astype(np.uint8).reshape(count, size, size, channels)


def keys(count: int) -> NDArray[np.uint64]:
    return np.arange(count, dtype=np.uint64) * np.uint64(0x1234567)


@settings(max_examples=25)
@given(st.permutations(range(9)), st.integers(1, 9), st.sampled_from([1, 3]))
def test_a_sample_is_the_same_whatever_batch_it_comes_in(order: list[int], count: int, channels: int) -> None:
    whole = augment(images(9, channels), keys(9), ALL, seed=3, epoch=5)
    rows = order[:count]
    part = augment(images(9, channels)[rows], keys(9)[rows], ALL, seed=3, epoch=5)
    assert part.tobytes() == whole[rows].tobytes()


def test_seed_epoch_and_sample_each_matter() -> None:
    same = np.repeat(images(1), 2, axis=0)
    base = augment(same, keys(2), ALL, seed=0, epoch=0)
    assert base[0].tobytes() != base[1].tobytes()
    assert augment(same, keys(2), ALL, seed=1, epoch=0)[0].tobytes() != base[0].tobytes()
    assert augment(same, keys(2), ALL, seed=0, epoch=1)[0].tobytes() != base[0].tobytes()


def test_the_golden_bits() -> None:
    """Pinned: the same on every machine and version, or runs could not be resumed elsewhere."""
    content = augment(images(16, 3), keys(16), ALL, seed=11, epoch=2).tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == GOLDEN


def test_nothing_asked_for_changes_nothing() -> None:
    given_images = images(3)
    assert augment(given_images, keys(3), Augment(), seed=0, epoch=0) is given_images


def test_it_is_the_affine_map_sampled_bilinearly() -> None:
    """Against a plain loop over pixels with library sines."""
    size, spec = 9, Augment(rotate_deg=15.0)
    image = images(1, size=size)
    changed = augment(image, keys(1), spec, seed=0, epoch=0)[0, :, :, 0].astype(float)
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
    moved = augment(dot, keys(200), Augment(shift=0.2), seed=0, epoch=0).astype(float)
    places = np.arange(21)
    ink = moved.sum(axis=(2 - axis, 3))
    centres = (ink * places).sum(axis=1) / ink.sum(axis=1)
    assert np.abs(centres - 10).max() <= 0.2 * 21 + 0.1
    assert centres.std() > 1.5
