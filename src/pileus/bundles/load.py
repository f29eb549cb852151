"""From a place to a bundle that can answer; every byte is verified on the way."""

from __future__ import annotations

from pathlib import Path

from pileus.bundles.manifest import MANIFEST_FILE, MODEL_FILE, Manifest, read_manifest
from pileus.bundles.predictor import Bundle
from pileus.bundles.write import joined
from pileus.errors import Damaged, NotFound, UsageError
from pileus.spec.values import digest
from pileus.store import Store, open_store

_IN_A_RUN = "bundle"


def load(place: str | Path, *, threads: int = 1) -> Bundle:
    """`place` is a bundle or a run (path or URI). Needs no torch.

    UsageError where there is no bundle, Damaged where a byte was changed, MissingExtra without onnxruntime.
    `threads` is the number of threads that one batch is computed on.
    """
    manifest, files = read_verified(open_store(place))
    return Bundle(manifest, files[MODEL_FILE], threads=threads)


def read_verified(store: Store) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the files it names, each as it was written, from a bundle's or a run's store."""
    found = _find_manifest(store)
    if found is None:
        raise UsageError(
            f"there is no bundle at {store.uri}: it has neither {MANIFEST_FILE} nor {_IN_A_RUN}/{MANIFEST_FILE}; "
            "name a bundle's folder or the folder of a finished run."
        )
    prefix, content = found
    manifest = read_manifest(content, f"{store.uri}/{joined(prefix, MANIFEST_FILE)}")
    return manifest, {name: _verified(store, prefix, name, manifest) for name in manifest.files}


def find_place(name_or_place: str, runs: str) -> str:
    """Where the bundle is that a user means: at a path or URI, or in the run of that name in `runs`.

    UsageError where there is none.
    """
    for place in (name_or_place, f"{runs.rstrip('/')}/{name_or_place}"):
        if _find_manifest(open_store(place)) is not None:
            return place
    raise UsageError(
        f"there is no bundle at {name_or_place!r} and no finished run of that name in {runs}; see `pileus runs list`."
    )


def _find_manifest(store: Store) -> tuple[str, bytes] | None:
    """The prefix that a bundle lies under in the store, and its manifest's bytes."""
    for prefix in ("", _IN_A_RUN):
        try:
            return prefix, store.get(joined(prefix, MANIFEST_FILE)).content
        except NotFound:
            continue
    return None


def _verified(store: Store, prefix: str, name: str, manifest: Manifest) -> bytes:
    key, expected = joined(prefix, name), manifest.files[name]
    try:
        content = store.get(key).content
    except NotFound as error:
        raise Damaged(f"{store.uri}/{key} is missing from its bundle; make the bundle again.") from error
    if len(content) != expected.size_bytes or digest(content) != expected.sha256:
        raise Damaged(f"{store.uri}/{key} was changed after it was written; make the bundle again.")
    return content
