"""A bundle's bytes to another place, verified on the way: what depends on a bundle keeps its own."""

from __future__ import annotations

from pileus.bundles.load import read_whole
from pileus.bundles.manifest import MANIFEST_FILE, Manifest
from pileus.bundles.write import joined
from pileus.store import Store, open_store


def copy_bundle(place: str, store: Store, prefix: str) -> Manifest:
    """From the bundle or run at `place`; the copy has the same version. The manifest is written last."""
    manifest, files, written = read_whole(open_store(place))
    for name, content in files.items():
        store.put(joined(prefix, name), content)
    store.put(joined(prefix, MANIFEST_FILE), written)
    return manifest
