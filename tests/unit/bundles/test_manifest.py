from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pileus.bundles.manifest import (
    BundleDescription,
    Calibration,
    Manifest,
    StoredFile,
    make_manifest,
    read_manifest,
)
from pileus.bundles.reference import Reference, distribution_of
from pileus.errors import Damaged, SpecError
from pileus.spec.preprocessing import Drawing, Picture
from pileus.spec.values import canonical_json, digest
from tests.unit.bundles.nets import describe

FILES = {"model.onnx": StoredFile(sha256="ab" * 32, size_bytes=3)}


def test_a_manifest_reads_back_as_it_was_made() -> None:
    manifest = make_manifest(describe(), FILES)
    assert read_manifest(canonical_json(manifest), "here") == manifest
    assert manifest.input_shape == (28, 28, 1)
    assert manifest.short_version == manifest.version[:16]


def test_the_version_changes_with_each_thing_said() -> None:
    manifest = make_manifest(describe(), FILES)
    others = [
        make_manifest(msgspec.structs.replace(describe(), name="other"), FILES),
        make_manifest(describe(Picture(height=28, width=28, channels=1)), FILES),
        make_manifest(describe(calibration=Calibration(temperature=2.0)), FILES),
        make_manifest(describe(), {"model.onnx": StoredFile(sha256="cd" * 32, size_bytes=3)}),
    ]
    assert len({made.version for made in [manifest, *others]}) == 5
    assert make_manifest(describe(), FILES).version == manifest.version


def test_a_manifest_from_before_a_field_was_known_is_read() -> None:
    """Its version is of what was written then."""
    written = msgspec.json.decode(canonical_json(make_manifest(describe(), FILES)))
    del written["none"], written["reference"]
    older = {**written, "version": digest(canonical_json({**written, "version": ""}))}
    manifest = read_manifest(canonical_json(older), "here")
    assert (manifest.none, manifest.labels, manifest.reference) == (None, manifest.classes, None)
    assert manifest.version == older["version"]
    with pytest.raises(Damaged, match="changed after it was written"):
        read_manifest(canonical_json({**older, "name": "other"}), "here")


def test_what_is_none_of_the_classes_is_not_one_of_them() -> None:
    knowing = msgspec.structs.replace(describe(), none="none")
    assert make_manifest(knowing, FILES).labels == (*knowing.classes, "none")
    with pytest.raises(SpecError, match=r"cannot be one of them \(got '3'\)"):
        BundleDescription(name="digits", classes=tuple("0123456789"), preprocessing=Drawing(), none="3")


def test_several_items_are_told_from_none() -> None:
    knowing = msgspec.structs.replace(describe(), none="none", several="several")
    assert make_manifest(knowing, FILES).labels == (*knowing.classes, "none", "several")
    for none in (None, "several"):
        with pytest.raises(SpecError, match=r"several items are told from what is none"):
            BundleDescription(
                name="digits", classes=tuple("0123456789"), preprocessing=Drawing(), none=none, several="several"
            )


def test_a_reference_reads_back_as_it_was_made() -> None:
    values_N = np.random.default_rng(3).random(700).astype(np.float32)
    reference = Reference(ink=distribution_of(values_N), confidence=distribution_of(values_N))
    manifest = make_manifest(msgspec.structs.replace(describe(), reference=reference), FILES)
    assert read_manifest(canonical_json(manifest), "here").reference == reference


@pytest.mark.parametrize("change", [b" ", b"\n"])
def test_added_white_space_is_damage(change: bytes) -> None:
    content = canonical_json(make_manifest(describe(), FILES))
    for position in (0, content.index(b"{") + 1, len(content)):
        with pytest.raises(Damaged, match="here"):
            read_manifest(content[:position] + change + content[position:], "here")


def test_a_changed_value_under_an_unchanged_version_is_damage() -> None:
    manifest = make_manifest(describe(), FILES)
    forged = msgspec.structs.replace(manifest, metrics={"accuracy": 0.99})
    with pytest.raises(Damaged, match="changed after it was written"):
        read_manifest(canonical_json(forged), "here")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"name": 3}'])
def test_what_is_no_manifest_is_damage(content: bytes) -> None:
    with pytest.raises(Damaged, match="not a bundle's manifest"):
        read_manifest(content, "here")


def test_a_manifest_without_the_model_is_damage() -> None:
    with pytest.raises(Damaged, match=r"names no model\.onnx"):
        read_manifest(canonical_json(make_manifest(describe(), {})), "here")


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"certain": 0.3, "rejected": 0.4},
        {"certain": 1.1},
        {"rejected": -0.1},
    ],
)
def test_impossible_calibrations_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="calibrate again"):
        Calibration(**wrong)


@pytest.mark.parametrize("classes", [(), ("only",), ("a", "a")])
def test_a_bundle_has_two_different_classes(classes: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match="two or more different classes"):
        BundleDescription(name="digits", classes=classes, preprocessing=Drawing())


def test_the_manifest_is_plain_json() -> None:
    content = canonical_json(make_manifest(describe(), FILES))
    assert msgspec.json.decode(content)["preprocessing"]["kind"] == "drawing"
    assert set(msgspec.json.decode(content)) == set(Manifest.__struct_fields__)
