"""Drift, by made-up times and slots: what all processes have seen of one model within the window."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.bundles.manifest import Manifest, StoredFile, make_manifest
from pileus.bundles.reference import Reference, distribution_of, ink_of
from pileus.data.sources.digits import open_digits
from pileus.serving.drift import LEAST, NUM_STRETCHES, STRETCH_S, Seen, number_of, stability_index
from pileus.serving.metrics import Slot, Values
from tests.unit.bundles.nets import describe

NOW = 100_000.0
MUCH = 0.25


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    """(N, 8, 8, 1), all that are embedded."""
    source = open_digits()
    images = [source[index].image for index in range(len(source))]
    return np.stack([image for image in images if isinstance(image, np.ndarray)])


def manifest_of(inks_N: NDArray[np.float64], name: str = "digits") -> Manifest:
    distribution = distribution_of(inks_N)
    description = msgspec.structs.replace(
        describe(), name=name, reference=Reference(ink=distribution, confidence=distribution)
    )
    return make_manifest(description, {"model.onnx": StoredFile(sha256="ab" * 32, size_bytes=3)})


class Processes:
    """Each has counts of its own on one page."""

    def __init__(self, count: int) -> None:
        self._slot = Slot()
        self.seen = Seen(self._slot)
        self.slots: list[Values] = [memoryview(bytearray(8 * self._slot.num_places)).cast("d") for _ in range(count)]

    def see(self, process: int, manifest: Manifest, inks_N: NDArray[np.float64], now: float = NOW) -> None:
        assert manifest.reference is not None
        counts = manifest.reference.ink.counted(inks_N.tolist())
        self._slot.bind(self.slots[process])
        self.seen.add(number_of(manifest), (counts, counts), now)

    def told(self, manifest: Manifest, now: float = NOW) -> tuple[int, float | None]:
        num_items, drift = self.seen.stability(manifest, self.slots, now)
        assert len(set(drift.values())) <= 1  # ink and confidence are made alike here
        return num_items, drift.get("ink")


def test_the_same_writers_are_no_drift_and_an_inverted_picture_is_much(digits: NDArray[np.uint8]) -> None:
    """Half of the embedded digits is the reference; the other half is asked, then its negatives, then noise."""
    mixed_NHWC = np.random.default_rng(4).permutation(digits)
    tried_NHWC, asked_NHWC = mixed_NHWC[::2], mixed_NHWC[1::2]
    manifest = manifest_of(ink_of(tried_NHWC))
    noise_NHWC = np.random.default_rng(5).integers(0, 256, asked_NHWC.shape, np.uint8)
    found = []
    for images_NHWC in (asked_NHWC, 255 - asked_NHWC, noise_NHWC):
        processes = Processes(1)
        processes.see(0, manifest, ink_of(images_NHWC))
        found.append(processes.told(manifest)[1])
    same, inverted, other = found
    assert same is not None and inverted is not None and other is not None
    assert same < 0.1
    assert min(inverted, other) > 4 * MUCH


def test_chance_alone_stays_far_under_the_threshold() -> None:
    """Even of as few as are told of, and a reference of as few as make ten bins."""
    random = np.random.default_rng(6)
    manifest = manifest_of(random.random(500))
    assert manifest.reference is not None
    tried = manifest.reference.ink
    found = [stability_index(tried.counted(random.random(LEAST).tolist()), tried.counts) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9 * (1 / LEAST + 1 / 500), rel=0.3)
    assert max(found) < MUCH


def test_it_is_silent_until_enough_is_seen() -> None:
    manifest = manifest_of(np.random.default_rng(7).random(1000))
    processes = Processes(2)
    assert processes.told(manifest) == (0, None)
    half_N = np.random.default_rng(8).random(LEAST // 2)
    processes.see(0, manifest, half_N)
    assert processes.told(manifest) == (LEAST // 2, None)
    processes.see(1, manifest, half_N)
    num_items, drift = processes.told(manifest)
    assert num_items == LEAST and drift is not None and drift < MUCH


def test_without_a_reference_nothing_is_told() -> None:
    manifest = make_manifest(describe(), {})
    assert Processes(1).seen.stability(manifest, [], NOW) == (0, {})


def test_the_window_slides() -> None:
    random = np.random.default_rng(9)
    manifest = manifest_of(random.random(1000))
    processes = Processes(1)
    for stretch in range(3 * NUM_STRETCHES):
        processes.see(0, manifest, random.random(20), NOW + stretch * STRETCH_S)
    last = NOW + (3 * NUM_STRETCHES - 1) * STRETCH_S
    assert processes.told(manifest, last)[0] == 20 * NUM_STRETCHES
    assert processes.told(manifest, last + 2 * STRETCH_S)[0] == 20 * (NUM_STRETCHES - 2)
    assert processes.told(manifest, last + NUM_STRETCHES * STRETCH_S) == (0, None)


def test_models_that_answer_side_by_side_are_told_apart() -> None:
    """As while fronts change one after another, each with a reference of its own."""
    random = np.random.default_rng(10)
    former, latter = manifest_of(random.random(1000), "former"), manifest_of(random.random(1000) + 5, "latter")
    processes = Processes(2)
    for stretch in range(NUM_STRETCHES):
        now = NOW + stretch * STRETCH_S
        for process in (0, 1):
            for _ in range(3):
                processes.see(process, former, random.random(10), now)
                processes.see(process, latter, random.random(10) + 5, now)
    for manifest in (former, latter):
        num_items, drift = processes.told(manifest, NOW + (NUM_STRETCHES - 1) * STRETCH_S)
        assert num_items == 2 * 30 * NUM_STRETCHES
        assert drift is not None and drift < 0.1
