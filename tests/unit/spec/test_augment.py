"""Settings of augmentation: chosen by name, impossible ones refused with the way out."""

from __future__ import annotations

import pytest

from pileus.errors import SpecError
from pileus.recipes.load import load_recipe
from pileus.spec.augment import Augment, Cutmix, PadCrop, ResizedCrop
from pileus.spec.resolve import parse_setting, resolve


def augment_of(*pairs: str) -> Augment:
    return resolve(load_recipe("mnist_cnn"), [parse_setting(pair) for pair in pairs]).augment


def test_members_are_chosen_by_name() -> None:
    chosen = augment_of("augment.crop.name=pad", "augment.crop.padding=2", "augment.mix.name=cutmix")
    assert (chosen.crop, chosen.mix) == (PadCrop(padding=2), Cutmix())


def test_a_crop_is_of_one_kind() -> None:
    """Settings of the former kind do not carry over to the other."""
    pairs = ("augment.crop.name=pad", "augment.crop.padding=2", "augment.crop.name=resized")
    assert augment_of(*pairs).crop == ResizedCrop()
    with pytest.raises(SpecError, match=r"'augment\.crop\.padding' belongs to another augment\.crop"):
        augment_of("augment.crop.name=resized", "augment.crop.padding=2")


def test_nothing_is_done_by_default() -> None:
    assert augment_of() == Augment()
    assert not Augment().is_affine


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("augment.flip=1.5", r"setting augment\.flip: .*<= 1\.0 \(got 1\.5\)"),
        ("augment.cutout=-1", r"setting augment\.cutout: .*>= 0 \(got -1\)"),
        ("augment.crop.name=middle", r"augment\.crop\.name is one of pad, resized \(got 'middle'\)"),
        ("augment.crop.padding=4", r"'augment\.crop\.name' \(got none\)"),
        ("augment.mix.name=blend", r"augment\.mix\.name is one of mixup, cutmix \(got 'blend'\)"),
    ],
)
def test_what_cannot_be_is_refused(pair: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        augment_of(pair)


def test_the_least_area_is_at_most_the_greatest() -> None:
    with pytest.raises(SpecError, match=r"area_min=0\.9, area_max=0\.5\); lower"):
        augment_of("augment.crop.name=resized", "augment.crop.area_min=0.9", "augment.crop.area_max=0.5")


def test_mixing_needs_two_samples() -> None:
    with pytest.raises(SpecError, match=r"microbatch_size of at least 2 \(got 1\)"):
        augment_of("augment.mix.name=mixup", "microbatch_size=1")
