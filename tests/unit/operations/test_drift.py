"""From packing to the metric: a bundle knows what it was tried on, and its server tells how far it is asked others."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.bundles import Bundle, load
from pileus.bundles.reference import ink_of
from pileus.data.ports import Split
from pileus.data.sources.digits import open_digits
from pileus.data.splits import split_by_hash
from pileus.operations.train import train
from pileus.recipes.load import load_recipe
from pileus.serving.drift import LEAST
from pileus.serving.server import ServeOptions, running
from pileus.spec.resolve import parse_setting, resolve
from tests.unit.serving.exposition import samples_of

RAW = {"Content-Type": "application/octet-stream"}
MUCH = 0.25
SETTINGS = ("engine.name=fake", "workers=1", "epochs=3")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    spec = resolve(load_recipe("digits_cnn"), [parse_setting(pair) for pair in SETTINGS])
    return load(train(spec, runs=str(tmp_path_factory.mktemp("runs"))).bundle)


def images_of(*splits: Split) -> NDArray[np.uint8]:
    source = open_digits()
    rows = [source[index] for index in range(len(source))]
    chosen = [image for image, _, name, _ in rows if split_by_hash(name) in splits and isinstance(image, np.ndarray)]
    return np.stack(chosen)


def test_the_reference_is_of_the_validation_part(bundle: Bundle) -> None:
    reference = bundle.manifest.reference
    assert reference is not None
    validation_NHWC = images_of(Split.VALIDATION)
    assert reference.ink.counted(ink_of(validation_NHWC).tolist()) == list(reference.ink.counts)
    confidences = [answer.confidence for answer in bundle.predict(validation_NHWC)]
    assert reference.confidence.counted(confidences) == list(reference.confidence.counts)
    assert sum(reference.confidence.counts) == len(validation_NHWC)


def test_its_server_is_silent_then_calm_then_alarmed(bundle: Bundle) -> None:
    """At the end half of what it was asked in the window is inverted."""
    images_NHWC = np.random.default_rng(1).permutation(images_of(Split.TRAIN, Split.TEST))[:LEAST]
    told = []
    with running(bundle, ServeOptions(port=0)) as url, httpx.Client(base_url=url, timeout=20) as client:
        for sent_NHWC in (images_NHWC[:-1], images_NHWC[-1:], 255 - images_NHWC):
            for image_HWC in sent_NHWC:
                client.post("/v1/predict", content=image_HWC.tobytes(), headers=RAW).raise_for_status()
            told.append(samples_of(client.get("/metrics").text))
    silent, calm, alarmed = told
    assert silent["pileus_drift_items"] == LEAST - 1 and 'pileus_drift{of="ink"}' not in silent
    assert calm["pileus_drift_items"] == LEAST and calm['pileus_drift{of="ink"}'] < 0.1
    assert calm['pileus_drift{of="confidence"}'] < MUCH
    assert alarmed['pileus_drift{of="ink"}'] > MUCH and alarmed['pileus_drift{of="confidence"}'] > MUCH
