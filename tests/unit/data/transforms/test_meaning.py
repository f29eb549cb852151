"""Each transform does what its name says, over many samples."""

from __future__ import annotations

import numpy as np
import pytest

from pileus.data.transforms.draws import below
from pileus.data.transforms.pipeline import augment
from pileus.spec.augment import Augment, PadCrop, ResizedCrop
from tests.unit.data.transforms.pictures import draws, images

MANY = 4000


def test_a_flip_comes_as_often_as_asked_and_is_a_mirror_image() -> None:
    same = np.repeat(images(1, 3), MANY, axis=0)
    changed = augment(same, draws(MANY), Augment(flip=0.3))
    mirrored = (changed == same[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (changed == same).all(axis=(1, 2, 3))).all()
    assert mirrored.mean() == pytest.approx(0.3, abs=0.03)
    assert augment(same, draws(MANY), Augment(flip=1.0)).tobytes() == same[:, :, ::-1].tobytes()


def test_every_place_of_a_padded_crop_is_as_likely() -> None:
    dots = np.zeros((MANY, 9, 9, 1), np.uint8)
    dots[:, 4, 4] = 255
    changed = augment(dots, draws(MANY), Augment(crop=PadCrop(padding=2)))
    assert (changed.sum(axis=(1, 2, 3)) == 255).all()
    counts = (changed > 0).sum(axis=0)[2:7, 2:7, 0]
    assert counts.sum() == MANY
    assert abs(counts - MANY / 25).max() < 5 * np.sqrt(MANY / 25)


def test_a_reflected_crop_shows_no_black() -> None:
    white = np.full((50, 6, 7, 3), 255, np.uint8)
    assert (augment(white, draws(50), Augment(crop=PadCrop(padding=5, fill="reflect"))) == 255).all()


def test_a_resized_crop_is_an_enlarged_rectangle_of_the_area_asked_for() -> None:
    """On a picture of its own coordinates the first and last values tell the rectangle."""
    size = 64
    ramps = np.zeros((MANY, size, size, 2), np.uint8)
    ramps[..., 0], ramps[..., 1] = 4 * np.arange(size)[:, None], 4 * np.arange(size)
    changed = augment(ramps, draws(MANY), Augment(crop=ResizedCrop(area_min=0.2, area_max=0.5)))
    tall = (changed[:, -2, 0, 0] - changed[:, 1, 0, 0].astype(float)) / 4 * size / (size - 3)
    wide = (changed[:, 0, -2, 1] - changed[:, 0, 1, 1].astype(float)) / 4 * size / (size - 3)
    areas, aspects = tall * wide / size**2, wide / tall
    assert 0.18 < areas.min() < 0.22
    assert 0.46 < areas.max() < 0.53
    assert areas.mean() == pytest.approx(0.35, abs=0.01)
    assert 0.7 < aspects.min() < 0.79
    assert 1.27 < aspects.max() < 1.43
    assert np.log(aspects).mean() == pytest.approx(0.0, abs=0.01)


def test_a_crop_of_the_whole_changes_nothing() -> None:
    whole = Augment(crop=ResizedCrop(area_min=1.0, aspect=1.0))
    assert augment(images(5, 3), draws(5), whole).tobytes() == images(5, 3).tobytes()


def test_brightness_scales_every_value() -> None:
    grey = np.full((MANY, 1, 1, 3), 100, np.uint8)
    values = augment(grey, draws(MANY), Augment(brightness=0.4))[:, 0, 0]
    assert (values == values[:, :1]).all()
    assert (values.min(), values.max()) == (60, 140)


def test_contrast_keeps_the_mean_and_saturation_the_grey() -> None:
    pictures = images(200, 3) // 2 + 64
    contrasted = augment(pictures, draws(200), Augment(contrast=0.5))
    assert abs(contrasted.mean(axis=(1, 2, 3)) - pictures.mean(axis=(1, 2, 3))).max() < 1.0
    spreads = contrasted.std(axis=(1, 2, 3)) / pictures.std(axis=(1, 2, 3))
    assert (spreads.min() < 0.55, spreads.max() > 1.45) == (True, True)
    luma = np.array([0.299, 0.587, 0.114])
    saturated = augment(pictures, draws(200), Augment(saturation=0.5))
    assert abs(saturated @ luma - pictures @ luma).max() < 2.0
    assert saturated.tobytes() != pictures.tobytes()


def test_a_grey_picture_has_no_saturation_to_change() -> None:
    grey = np.repeat(images(20), 3, axis=3)
    assert augment(grey, draws(20), Augment(saturation=1.0)).tobytes() == grey.tobytes()


def test_a_cutout_hides_a_square_that_the_border_may_cut() -> None:
    white = np.full((MANY, 9, 10, 3), 255, np.uint8)
    hidden = augment(white, draws(MANY), Augment(cutout=4))[..., 0] == 0
    heights, widths = hidden.any(axis=2).sum(axis=1), hidden.any(axis=1).sum(axis=1)
    assert (hidden.sum(axis=(1, 2)) == heights * widths).all()
    assert (heights.min(), heights.max(), widths.min(), widths.max()) == (2, 4, 2, 4)
    assert hidden.any(axis=0).all()


def test_a_draw_never_reaches_its_bound() -> None:
    last = np.array([1 - 2.0**-53])
    assert all(below(last, bound)[0] == bound - 1 for bound in range(1, 5000))
