"""A bundle of neighbours is a bundle like any other."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pileus.bundles import Bundle
from pileus.bundles import neighbours as module
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.bundles.neighbours import export_neighbours
from pileus.data.sources.open import open_source
from pileus.errors import UsageError
from pileus.spec.preprocessing import Drawing
from tests.contracts.tiny import noise
from tests.unit.bundles.nets import describe

LABELS_M = np.arange(30) % 10
WARM_S = 5e-3
"""Within which the test part of scikit-learn's digits is to be answered."""


def bundle_of(onnx: bytes, side: int) -> Bundle:
    files = {"model.onnx": StoredFile(sha256="", size_bytes=0)}
    return Bundle(make_manifest(describe(Drawing(height=side, width=side)), files), onnx)


def test_an_image_is_its_own_neighbour() -> None:
    images_MHWC = noise(30, 28, 28, 1)
    predictions = bundle_of(export_neighbours(images_MHWC, LABELS_M, 1, 10, 0.1), 28).predict(images_MHWC)
    assert [prediction.label for prediction in predictions] == [str(label) for label in LABELS_M]


def test_an_answer_does_not_depend_on_the_batch_around_it() -> None:
    bundle = bundle_of(export_neighbours(noise(30, 28, 28, 1), LABELS_M, 3, 10, 0.1), 28)
    images_NHWC = noise(40, 28, 28, 1, seed=1)
    alone_NC = np.concatenate([bundle.probabilities(image_HWC[None]) for image_HWC in images_NHWC])
    np.testing.assert_allclose(bundle.probabilities(images_NHWC), alone_NC, atol=1e-6)
    assert (alone_NC > 0).all()


def test_the_same_images_give_the_same_bytes() -> None:
    first, second, other = (export_neighbours(noise(30, 4, 4, 3), LABELS_M, k, 10, 0.1) for k in (3, 3, 4))
    assert first == second != other


def test_too_many_images_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 100)
    with pytest.raises(UsageError, match="holds every image, at most 0 MiB"):
        export_neighbours(noise(30, 4, 4, 1), LABELS_M, 3, 10, 0.1)


def test_digits_are_answered_in_milliseconds() -> None:
    """The best of many, for others share the machine. A fifth is asked about: 1,437 neighbours, 360 questions."""
    source = open_source("embedded:digits")
    samples = [source[index] for index in range(len(source))]
    images_NHWC, labels_N = np.stack([each.image for each in samples]), np.array([each.label for each in samples])
    bundle = bundle_of(export_neighbours(images_NHWC[360:], labels_N[360:], 3, 10, 0.1), 8)
    took_s = []
    for _ in range(21):
        started = time.perf_counter()
        probabilities_NC = bundle.probabilities(images_NHWC[:360])
        took_s.append(time.perf_counter() - started)
    assert (probabilities_NC.argmax(axis=1) == labels_N[:360]).mean() > 0.93
    assert min(took_s) < WARM_S
