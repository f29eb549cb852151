from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pileus.bundles import load, write_bundle
from pileus.errors import Damaged, MissingExtra, UsageError
from pileus.store import Store, open_store
from pileus.store.memory import MemoryStore
from tests.unit.bundles.nets import describe


@pytest.fixture
def store(onnx: bytes) -> Store:
    store = MemoryStore()
    write_bundle(store, "bundle", onnx, describe())
    return store


def flipped(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0x01
    return bytes(changed)


def test_a_run_and_its_bundle_are_both_places_of_it(tmp_path: Path, onnx: bytes) -> None:
    manifest = write_bundle(open_store(tmp_path), "bundle", onnx, describe())
    for place in (tmp_path, str(tmp_path), f"file:{tmp_path}", tmp_path / "bundle"):
        bundle = load(place)
        assert bundle.manifest == manifest
        assert (bundle.name, bundle.classes, bundle.input_shape) == (
            "digits",
            tuple("0123456789"),
            (28, 28, 1),
        )
        assert bundle.version == manifest.version[:16]


def test_where_no_bundle_is_the_message_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no bundle at .*manifest\.json.*finished run"):
        load(tmp_path / "nothing")


def test_every_changed_byte_of_the_manifest_is_found(tmp_path: Path, onnx: bytes) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    manifest = tmp_path / "manifest.json"
    content = manifest.read_bytes()
    for position in range(len(content)):
        manifest.write_bytes(flipped(content, position))
        with pytest.raises(Damaged, match=r"manifest\.json"):
            load(tmp_path)


def test_a_changed_byte_in_each_region_of_the_model_is_found(tmp_path: Path, onnx: bytes) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    for position in [*range(0, len(onnx), len(onnx) // 50), len(onnx) - 1]:
        (tmp_path / "model.onnx").write_bytes(flipped(onnx, position))
        with pytest.raises(Damaged, match=r"model\.onnx was changed"):
            load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_a_cut_lengthened_or_missing_model_is_found(tmp_path: Path, onnx: bytes, content: bytes | None) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    if content is None:
        (tmp_path / "model.onnx").unlink()
    else:
        (tmp_path / "model.onnx").write_bytes(content or onnx + b"\0")
    with pytest.raises(Damaged, match=r"model\.onnx"):
        load(tmp_path)


def test_rewriting_gives_the_same_version(onnx: bytes) -> None:
    store = MemoryStore()
    assert write_bundle(store, "a", onnx, describe()) == write_bundle(store, "b", onnx, describe())


def test_without_onnx_runtime_the_extra_is_named(tmp_path: Path, onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(open_store(tmp_path), "", onnx, describe())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pileus\[serve\]"):
        load(tmp_path)
