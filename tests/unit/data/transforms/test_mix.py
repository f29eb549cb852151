"""Mixup and cutmix: pairs within a microbatch, weights that are exactly the part of the pixels."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.data.transforms.mix import mixed
from pileus.spec.augment import Cutmix, Mix, Mixup
from reference import transforms as plain
from tests.unit.data.transforms.pictures import draws, images

BOTH = [Mixup(alpha=1.0), Cutmix()]
GOLDEN = {"Mixup": "0324b4e3a2fd4f8c", "Cutmix": "0c5ac31ee028f17e"}
mixes = st.builds(
    lambda kind, alpha, probability: kind(alpha=alpha, probability=probability),
    st.sampled_from([Mixup, Cutmix]),
    st.floats(0.1, 1.0),
    st.floats(0.0, 1.0),
)


def labels(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.arange(100, 100 + count)


@settings(max_examples=40, deadline=None)
@given(mixes, st.integers(0, 2**63 - 1), st.integers(1, 6), st.sampled_from([1, 3]))
def test_it_equals_the_plain_reference(spec: Mix, seed: int, count: int, channels: int) -> None:
    given_images, coordinates = images(count, channels, 5, 7), draws(count, seed, 3)
    changed, pairs = mixed(given_images, labels(count), coordinates, spec)
    for row, key in enumerate(coordinates.keys_N):
        partner = (row + 1) % count
        wanted, weight = plain.mixed(
            given_images[row].tolist(), given_images[partner].tolist(), spec, int(key), (seed, 3)
        )
        assert changed[row].tolist() == wanted
        assert pairs.weights_N[row] == np.float32(float(weight))
        assert pairs.partner_labels_N[row] == 100 + partner


@pytest.mark.parametrize("spec", BOTH, ids=lambda spec: type(spec).__name__)
def test_the_weight_is_the_part_of_the_own_pixels(spec: Mix) -> None:
    """White samples beside black ones: the mean of a white one is its weight."""
    pictures = np.zeros((400, 16, 12, 3), np.uint8)
    pictures[::2] = 255
    changed, pairs = mixed(pictures, labels(400), draws(400), spec)
    own = changed[::2].mean(axis=(1, 2, 3)) / 255
    assert abs(own - pairs.weights_N[::2]).max() < 1 / 255
    assert pairs.weights_N.min() < 0.1 < 0.9 < pairs.weights_N.max() <= 1
    assert (pairs.weights_N.dtype.name, pairs.partner_labels_N.dtype.name) == ("float32", "int64")


@pytest.mark.parametrize("spec", BOTH, ids=lambda spec: type(spec).__name__)
def test_every_sample_is_the_partner_of_one_and_one_alone_stays_as_it_is(spec: Mix) -> None:
    _, pairs = mixed(images(7), labels(7), draws(7), spec)
    assert sorted(pairs.partner_labels_N) == list(labels(7))
    assert (pairs.partner_labels_N != labels(7)).all()
    alone, pairs = mixed(images(1), labels(1), draws(1), spec)
    assert alone.tobytes() == images(1).tobytes()
    assert pairs.partner_labels_N.tolist() == [100]


@pytest.mark.parametrize("kind", [Mixup, Cutmix])
def test_only_so_many_are_mixed(kind: type[Mixup] | type[Cutmix]) -> None:
    _, pairs = mixed(images(4000), labels(4000), draws(4000), kind(alpha=1.0, probability=0.25))
    assert (pairs.weights_N < 1).mean() == pytest.approx(0.25, abs=0.03)
    unchanged, pairs = mixed(images(9), labels(9), draws(9), kind(probability=0.0))
    assert unchanged.tobytes() == images(9).tobytes()
    assert (pairs.weights_N == 1).all()


@pytest.mark.parametrize("spec", BOTH, ids=lambda spec: type(spec).__name__)
def test_the_golden_bits(spec: Mix) -> None:
    """Pinned: the same on every machine and version, or runs could not be resumed elsewhere."""
    changed, pairs = mixed(images(16, 3), labels(16), draws(16, 11, 2), spec)
    content = changed.tobytes() + pairs.weights_N.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == GOLDEN[type(spec).__name__]
