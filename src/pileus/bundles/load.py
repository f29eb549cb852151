"""From a place to a bundle that can answer; every byte is verified on the way."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pileus.bundles.manifest import MANIFEST_FILE, MODEL_FILE, Manifest, read_manifest
from pileus.bundles.predictor import Bundle
from pileus.bundles.roles import ROLES_KEY, folder_of, read_roles
from pileus.bundles.write import joined
from pileus.errors import Damaged, NotFound, UsageError
from pileus.spec.values import digest
from pileus.store import Store, open_store

_IN_A_RUN = "bundle"


class Whole(NamedTuple):
    """A bundle of which every byte is as it was written."""

    manifest: Manifest
    files: dict[str, bytes]
    """By name; the manifest's own is not among them."""
    written: bytes
    """The manifest's file, which may be older than some of the manifest's fields: what is handed on, is this."""


def load(place: str | Path, *, threads: int = 1) -> Bundle:
    """`place` is a bundle, a run or a registry (path or URI), of which it is the production. Needs no torch.

    UsageError where there is no bundle, Damaged where a byte was changed, MissingExtra without onnxruntime.
    `threads` is the number of threads that one batch is computed on.
    """
    manifest, files = read_verified(open_store(place))
    return Bundle(manifest, files[MODEL_FILE], threads=threads)


def read_verified(store: Store) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the files it names, each as it was written, from a bundle's, a run's or a registry's store."""
    manifest, files, _ = read_whole(store)
    return manifest, files


def read_whole(store: Store) -> Whole:
    """As `read_verified`, with the manifest's own bytes."""
    prefix = _find_prefix(store)
    if prefix is None:
        raise UsageError(
            f"there is no bundle at {store.uri}: it has neither {MANIFEST_FILE} nor {_IN_A_RUN}/{MANIFEST_FILE} nor "
            f"{ROLES_KEY}; name a bundle's folder, the folder of a finished run, or a registry."
        )
    return read_bundle(store, prefix)


def read_bundle(store: Store, prefix: str) -> Whole:
    """The bundle under a prefix of the store. UsageError where there is none."""
    key = joined(prefix, MANIFEST_FILE)
    try:
        written = store.get(key).content
    except NotFound as error:
        raise UsageError(f"there is no bundle at {store.uri}/{prefix}: it has no {MANIFEST_FILE}.") from error
    manifest = read_manifest(written, f"{store.uri}/{key}")
    return Whole(manifest, {name: _verified(store, prefix, name, manifest) for name in manifest.files}, written)


def find_place(name_or_place: str, runs: str) -> str:
    """Where the bundle is that a user means: at a path or URI, or in the run of that name in `runs`.

    UsageError where there is none.
    """
    for place in (name_or_place, f"{runs.rstrip('/')}/{name_or_place}"):
        if _find_prefix(open_store(place)) is not None:
            return place
    raise UsageError(
        f"there is no bundle at {name_or_place!r} and no finished run of that name in {runs}; see `pileus runs list`."
    )


def holds_bundle(store: Store) -> bool:
    """Whether it is a bundle's, a finished run's or a registry's."""
    return _find_prefix(store) is not None


def _find_prefix(store: Store) -> str | None:
    """That a bundle lies under in the store."""
    for prefix in ("", _IN_A_RUN):
        try:
            store.get(joined(prefix, MANIFEST_FILE))
        except NotFound:
            continue
        return prefix
    if (found := read_roles(store)) is None:
        return None
    if found[0].production is None:
        raise UsageError(
            f"the registry at {store.uri} has no production yet; give it one: pileus registry promote REGISTRY VERSION"
        )
    return folder_of(found[0].production)


def _verified(store: Store, prefix: str, name: str, manifest: Manifest) -> bytes:
    key, expected = joined(prefix, name), manifest.files[name]
    try:
        content = store.get(key).content
    except NotFound as error:
        raise Damaged(f"{store.uri}/{key} is missing from its bundle; make the bundle again.") from error
    if len(content) != expected.size_bytes or digest(content) != expected.sha256:
        raise Damaged(f"{store.uri}/{key} was changed after it was written; make the bundle again.")
    return content
