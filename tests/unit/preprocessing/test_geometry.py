from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.preprocessing import geometry
from pileus.preprocessing.geometry import halved, interpolated, mirror, resize


def noise(height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def resized(image_HWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    into_HWC = np.empty((height, width, image_HWC.shape[2]), np.uint8)
    resize(image_HWC, into_HWC)
    return into_HWC


sides = st.integers(1, 90)


@settings(max_examples=300)
@given(sides, sides, sides, sides, st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_numpy_gives_the_bits_of_opencv(
    height: int, width: int, new_height: int, new_width: int, channels: int, seed: int
) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    image_HWC = noise(height, width, channels, seed)
    theirs = cv2.resize(image_HWC, (new_width, new_height), interpolation=cv2.INTER_LINEAR_EXACT)
    assert interpolated(image_HWC, new_height, new_width).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("shape", [(300, 200, 3), (57, 100, 1), (224, 224, 3), (31, 7, 3)])
def test_without_opencv_nothing_changes(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = resized(noise(*shape), 50, 41)
    monkeypatch.setattr(geometry, "cv2", None)
    assert np.array_equal(resized(noise(*shape), 50, 41), with_it)


def test_a_row_that_is_not_contiguous_is_filled_as_well() -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    resize(noise(9, 9, 3), wide[:, ::2])
    assert np.array_equal(wide[:, ::2], resized(noise(9, 9, 3), 20, 20)) and not wide[:, 1::2].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mirrored_picture_is_the_same_with_and_without_opencv(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image_HWC = noise(5, 7, channels)
    into_HWC = np.empty_like(image_HWC)
    for _ in range(2):
        mirror(image_HWC, into_HWC)
        assert np.array_equal(into_HWC, image_HWC[:, ::-1])
        monkeypatch.setattr(geometry, "cv2", None)


def test_its_own_size_leaves_a_picture_as_it_is() -> None:
    assert np.array_equal(resized(noise(13, 17, 3), 13, 17), noise(13, 17, 3))


def test_halving_is_the_mean_of_four() -> None:
    image_HWC = noise(7, 5, 3)
    whole = image_HWC[:6, :4].astype(int).reshape(3, 2, 2, 2, 3).sum(axis=(1, 3))
    assert np.array_equal(halved(image_HWC), (whole + 2) // 4)


def test_far_smaller_is_a_mean_not_a_choice() -> None:
    stripes = np.zeros((256, 256, 1), np.uint8)
    stripes[::2] = 255
    assert np.abs(resized(stripes, 30, 30).astype(int) - 128).max() <= 1


def test_golden_bits() -> None:
    """Trained weights depend on them: a change here changes every model of photographs."""
    made = resized(noise(333, 500, 3), 224, 224).tobytes() + resized(noise(90, 70, 1), 224, 100).tobytes()
    assert hashlib.sha256(made).hexdigest()[:16] == "06b27af7ef16d008"
