"""A bundle is written model first, manifest last: without its manifest a folder is no bundle."""

from __future__ import annotations

from pileus.bundles.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    BundleDescription,
    Manifest,
    StoredFile,
    make_manifest,
)
from pileus.spec.values import canonical_json, digest
from pileus.store.ports import Store


def write_bundle(store: Store, prefix: str, onnx: bytes, description: BundleDescription) -> Manifest:
    """Write under `prefix` (`bundle` in a run); the same content and description give the same version."""
    files = {MODEL_FILE: StoredFile(sha256=digest(onnx), size_bytes=len(onnx))}
    manifest = make_manifest(description, files)
    store.put(joined(prefix, MODEL_FILE), onnx)
    store.put(joined(prefix, MANIFEST_FILE), canonical_json(manifest))
    return manifest


def joined(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else name
