"""Augmentation is a pure function of (seed, epoch, sample), equals the plain reference, and its bits stay."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.data.transforms.draws import Family
from pileus.data.transforms.pipeline import augment
from pileus.errors import SpecError
from pileus.spec.augment import Augment, PadCrop, ResizedCrop
from reference import transforms as plain
from tests.unit.data.transforms.pictures import draws, images

COLOUR = Augment(brightness=0.4, contrast=0.5, saturation=0.6)
EACH = {
    "flip": Augment(flip=0.5),
    "zero": Augment(crop=PadCrop(padding=3)),
    "reflect": Augment(crop=PadCrop(padding=3, fill="reflect")),
    "resized": Augment(crop=ResizedCrop(area_min=0.2, aspect=2.0)),
    "affine": Augment(rotate_deg=20.0, scale=0.2, shear=0.3, shift=0.1),
    "warp": Augment(warp=0.1),
    "thickness": Augment(thickness=0.9),
    "blur": Augment(blur=0.8),
    "colour": COLOUR,
    "cutout": Augment(cutout=5),
    "all": Augment(
        flip=0.5,
        crop=ResizedCrop(),
        rotate_deg=10.0,
        scale=0.1,
        shear=0.1,
        shift=0.1,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        cutout=4,
    ),
}
GOLDEN = {
    "flip": "38b66635c91bceb6",
    "zero": "a9d271840c3bb289",
    "reflect": "20249d8f4af7765e",
    "resized": "7bc278ac9bc22abe",
    "affine": "aaac137147c6a43e",
    "warp": "dafdb78a07c62f89",
    "thickness": "54c1466b29997466",
    "blur": "7b87d9d601ce8415",
    "colour": "9899949d0b34ed95",
    "cutout": "ee3335d6b0f90a9a",
    "all": "898ecbe80f638225",
}
parts = st.floats(0.0, 0.5)
changes = st.floats(0.0, 1.0)
crops = st.one_of(
    st.none(),
    st.builds(PadCrop, padding=st.integers(1, 4), fill=st.sampled_from(["zero", "reflect"])),
    st.builds(ResizedCrop, area_min=st.floats(0.01, 0.5), area_max=st.floats(0.5, 1.0), aspect=st.floats(1.0, 10.0)),
)
specs = st.builds(
    Augment,
    flip=changes,
    crop=crops,
    rotate_deg=st.sampled_from([0.0, 30.0]),
    scale=parts,
    shear=parts,
    shift=parts,
    warp=st.floats(0.0, 0.25),
    thickness=changes,
    blur=changes,
    brightness=changes,
    contrast=changes,
    saturation=changes,
    cutout=st.integers(0, 4),
)


@settings(max_examples=40, deadline=None)
@given(specs, st.integers(0, 2**63 - 1), st.integers(0, 1000), st.sampled_from([(5, 7), (8, 6), (5, 5)]))
def test_it_equals_the_plain_reference(spec: Augment, seed: int, epoch: int, size: tuple[int, int]) -> None:
    given_images, coordinates = images(3, 3, *size), draws(3, seed, epoch)
    changed = augment(given_images, coordinates, spec)
    for image, key, result in zip(given_images, coordinates.keys_N, changed, strict=True):
        assert result.tolist() == plain.augmented(image.tolist(), int(key), spec, seed, epoch)


@pytest.mark.parametrize(
    "name", ["flip", "zero", "reflect", "resized", "affine", "warp", "thickness", "blur", "cutout"]
)
def test_it_equals_the_plain_reference_on_grey_images(name: str) -> None:
    changed = augment(images(2), draws(2), EACH[name])
    wanted = [plain.augmented(image.tolist(), row * 0x1234567, EACH[name], 0, 0) for row, image in enumerate(images(2))]
    assert changed.tolist() == wanted


@pytest.mark.parametrize("name", EACH)
@settings(max_examples=10)
@given(st.permutations(range(9)), st.integers(1, 9))
def test_a_sample_is_the_same_whatever_batch_it_comes_in(name: str, order: list[int], count: int) -> None:
    coordinates = draws(9, 3, 5)
    whole = augment(images(9, 3), coordinates, EACH[name])
    rows = order[:count]
    part = augment(images(9, 3)[rows], coordinates._replace(keys_N=coordinates.keys_N[rows]), EACH[name])
    assert part.tobytes() == whole[rows].tobytes()


def test_a_batch_of_many_pieces_is_what_its_samples_are_alone() -> None:
    coordinates = draws(1200)
    whole = augment(images(1200, 3), coordinates, EACH["all"])
    for row in (0, 302, 303, 304, 606, 1199):
        alone = coordinates._replace(keys_N=coordinates.keys_N[row : row + 1])
        assert augment(images(1200, 3)[row : row + 1], alone, EACH["all"])[0].tobytes() == whole[row].tobytes()


def test_large_images_are_mirrored_as_small_ones_are() -> None:
    coordinates = draws(40)
    large = images(40, 3, 80, 90)
    whole = augment(large, coordinates, EACH["flip"])
    chosen = coordinates.of(Family.FLIP, 1)[:, 0] < EACH["flip"].flip
    assert 0 < chosen.sum() < 40
    assert np.array_equal(whole, np.where(chosen[:, None, None, None], large[:, :, ::-1], large))


@pytest.mark.parametrize("name", EACH)
def test_seed_epoch_and_sample_each_matter_and_the_given_images_stay(name: str) -> None:
    same = np.repeat(images(1, 3), 8, axis=0)
    before = same.tobytes()
    base = augment(same, draws(8), EACH[name])
    assert len({image.tobytes() for image in base}) > 1
    assert augment(same, draws(8, seed=1), EACH[name]).tobytes() != base.tobytes()
    assert augment(same, draws(8, epoch=1), EACH[name]).tobytes() != base.tobytes()
    assert same.tobytes() == before
    assert (base.shape, base.dtype) == (same.shape, same.dtype)


@pytest.mark.parametrize("name", EACH)
def test_the_golden_bits(name: str) -> None:
    """Pinned: the same on every machine and version, or runs could not be resumed elsewhere."""
    content = augment(images(16, 3), draws(16, 11, 2), EACH[name]).tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == GOLDEN[name]


def test_nothing_asked_for_changes_nothing() -> None:
    given_images = images(3)
    assert augment(given_images, draws(3), Augment()) is given_images


def test_a_transform_draws_the_same_whatever_others_do() -> None:
    with_crop = augment(augment(images(6, 3), draws(6), EACH["zero"]), draws(6), EACH["flip"])
    both = augment(images(6, 3), draws(6), Augment(flip=0.5, crop=PadCrop(padding=3)))
    assert both.tobytes() == with_crop.tobytes()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Augment(crop=PadCrop(padding=12)), r"augment\.crop\.padding must be below .* \(got 12, images of 12x12"),
        (Augment(cutout=12), r"augment\.cutout must be below .* \(got 12, images of 12x12"),
        (COLOUR, r"augment\.saturation needs images of three channels \(got 1\)"),
    ],
)
def test_images_that_cannot_be_augmented_so_are_refused(spec: Augment, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        augment(images(2), draws(2), spec)
