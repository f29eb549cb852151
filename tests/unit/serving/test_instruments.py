"""The sum over processes, each with a slot of one page; what is told is read as Prometheus reads it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pileus.bundles.manifest import Manifest, StoredFile, make_manifest
from pileus.bundles.reference import Reference, distribution_of
from pileus.serving.drift import number_of
from pileus.serving.frames import Tally
from pileus.serving.instruments import Instruments, Now, no_readings, num_places
from tests.unit.bundles.nets import describe
from tests.unit.serving.exposition import Samples, samples_of

TENTHS = distribution_of(np.arange(1000) / 1000)


def manifest_of(name: str, *, known: bool = True) -> Manifest:
    reference = Reference(ink=TENTHS, confidence=TENTHS) if known else None
    description = msgspec.structs.replace(describe(), name=name, reference=reference)
    return make_manifest(description, {"model.onnx": StoredFile(sha256="ab" * 32, size_bytes=3)})


class Page:
    """Of a supervisor and two fronts."""

    def __init__(self, *manifests: Manifest) -> None:
        page = memoryview(bytearray(8 * 3 * num_places())).cast("d")
        self.supervisor = Instruments(no_readings(), page, 0)
        self.fronts = [Instruments(_now(manifest), page, slot) for slot, manifest in enumerate(manifests, start=1)]
        for front in self.fronts:
            front.note_now()

    def told(self, manifest: Manifest, front: int = 0) -> Samples:
        return samples_of(self.fronts[front].told(manifest).decode())


def _now(manifest: Manifest) -> Now:
    return Now(lambda: 1, lambda: 2, lambda: 3, lambda: 4, lambda: 5, lambda: manifest.short_version)


def tally(manifest: Manifest, *bins: list[int]) -> Tally:
    return Tally(7, (1, 2, 4), [0] * 9 + [7], [7] + [0] * 9, number_of(manifest), bins)


def test_all_that_is_measured_is_told_and_described() -> None:
    manifest = manifest_of("digits")
    page = Page(manifest, manifest)
    names = {name.partition("{")[0] for name in page.told(manifest)}
    lines = page.fronts[0].told(manifest).decode().splitlines()
    described = [f"# TYPE {metric.name} {metric.kind}" for metric in page.fronts[0].described]
    assert [line for line in lines if line.startswith("# TYPE")] == described
    silent = {"pileus_requests_total", "pileus_request_seconds", "pileus_drift"}  # nothing has been counted
    assert {metric.name for metric in page.fronts[0].described if metric.kind != "histogram"} - names <= silent


def test_both_fronts_are_one_server() -> None:
    manifest = manifest_of("digits")
    page = Page(manifest, manifest)
    for front in page.fronts:
        front.requests.add("/v1/predict", "200")
        front.request_s.observe(0.02, "/v1/predict")
        front.tally(tally(manifest), 0.004)
    page.supervisor.fronts_lost.add()
    told = page.told(manifest)
    assert told == page.told(manifest, 1)
    assert told['pileus_requests_total{route="/v1/predict",status="200"}'] == 2
    assert told['pileus_request_seconds_bucket{route="/v1/predict",le="0.025"}'] == 2
    assert told['pileus_predictions_total{verdict="rejected"}'] == 8
    assert told["pileus_batch_images_sum"] == 14 and told["pileus_fronts_lost_total"] == 1
    assert told["pileus_ready"] == 2 and told["pileus_predictors"] == 10
    assert told[f'pileus_model_info{{name="digits",version="{manifest.short_version}"}}'] == 1


def test_who_has_died_is_nothing_any_more_but_what_it_has_counted_stays() -> None:
    manifest = manifest_of("digits")
    page = Page(manifest, manifest)
    counts = list(TENTHS.counts)
    page.fronts[1].tally(tally(manifest, counts, counts), 0.004)
    before = page.told(manifest)
    page.supervisor.forget_slot(2)
    after = page.told(manifest)
    assert after["pileus_ready"] == 1 and after["pileus_connections"] == 4
    assert after[f'pileus_model_fronts{{version="{manifest.short_version}"}}'] == 1
    for name in ("pileus_batch_images_count", "pileus_drift_items", 'pileus_drift{of="ink"}'):
        assert after[name] == before[name]


def test_fronts_of_different_models_are_told_apart() -> None:
    former, latter = manifest_of("former"), manifest_of("latter")
    page = Page(former, latter)
    told = page.told(former)
    for manifest in (former, latter):
        assert told[f'pileus_model_fronts{{version="{manifest.short_version}"}}'] == 1


def test_drift_is_of_the_model_that_answers() -> None:
    former, latter = manifest_of("former"), manifest_of("latter")
    page = Page(former, latter)
    same, other = list(TENTHS.counts), [0] * 9 + [1000]
    page.fronts[0].tally(tally(former, same, other), 0.004)
    told = page.told(former)
    assert told["pileus_drift_items"] == 1000
    assert told['pileus_drift{of="ink"}'] == 0 and told['pileus_drift{of="confidence"}'] > 1
    told = page.told(latter, 1)
    assert told["pileus_drift_items"] == 0 and 'pileus_drift{of="ink"}' not in told


def test_without_a_reference_there_is_no_drift() -> None:
    manifest = manifest_of("old", known=False)
    assert not [name for name in Page(manifest).told(manifest) if name.startswith("pileus_drift")]


def test_a_broken_text_is_found() -> None:
    text = Page(manifest_of("digits")).fronts[0].told(manifest_of("digits")).decode()
    for broken in (text + text, text.replace('le="+Inf"} 0', 'le="+Inf"} 3', 1), text + "no metric here"):
        with pytest.raises((AssertionError, ValueError)):
            samples_of(broken)
