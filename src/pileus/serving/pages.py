"""The page's files, read once from the package, with the headers that keep a browser strict with them.

What the page is made of lies under a path with a digest of all of it, so that a browser may keep it for good and never
mixes two versions; the page itself and the worker that keeps it have fixed paths and are asked for anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

import msgspec

from pileus.bundles import Manifest
from pileus.serving.answers import JSON, Answer
from pileus.spec.preprocessing import Drawing
from pileus.spec.values import digest

_PAGE, _WORKER = "index.html", "worker.js"
_MEDIA_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    b"worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS_ASK = b"no-cache"
_FOR_GOOD = b"public, max-age=31536000, immutable"
_FOR_GOOD_FOR_ONE = b"private, max-age=31536000, immutable"

_MOST_BYTES_IN_A_BROWSER = 16 * 1024 * 1024
"""Of a graph that a browser may fetch to answer by itself."""


def read_pages() -> dict[str, Answer]:
    """By path."""
    contents = dict(_found(files("pileus.serving") / "page", ""))
    version = digest(b"\0".join(part for name in sorted(contents) for part in (name.encode(), contents[name])))[:16]
    page = contents.pop(_PAGE).replace(b'"/page/', f'"/page/{version}/'.encode())
    pages = {"/": _page(_PAGE, page, _ALWAYS_ASK), "/worker.js": _page(_WORKER, contents.pop(_WORKER), _ALWAYS_ASK)}
    for name, content in contents.items():
        pages[f"/page/{version}/{name}"] = _page(name, content, _FOR_GOOD)
    return pages


def bundle_pages(manifest: Manifest, onnx: bytes) -> dict[str, Answer]:
    """By path: what a browser needs to answer as this bundle does while its server is away.

    Nothing for photographs and large networks, which it could not answer, or not soon.
    """
    if not isinstance(manifest.preprocessing, Drawing) or len(onnx) > _MOST_BYTES_IN_A_BROWSER:
        return {}
    description = {
        "name": manifest.name,
        "version": manifest.short_version,
        "classes": manifest.classes,
        "none": manifest.none,
        "several": manifest.several,
        "preprocessing": manifest.preprocessing,
        "calibration": manifest.calibration,
    }
    folder = f"/v1/bundles/{manifest.short_version}"
    return {
        f"{folder}/model.json": Answer(200, JSON, msgspec.json.encode(description), _kept(manifest)),
        f"{folder}/model.onnx": Answer(200, b"application/octet-stream", onnx, _kept(manifest)),
    }


def _found(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _found(entry, f"{prefix}{entry.name}/")
        elif PurePosixPath(entry.name).suffix in _MEDIA_TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _page(name: str, content: bytes, caching: bytes) -> Answer:
    headers = (
        (b"content-security-policy", _POLICY),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cache-control", caching),
        (b"etag", f'"{digest(content)[:16]}"'.encode()),
        (b"x-pileus-page", b"1"),
    )
    return Answer(200, _MEDIA_TYPES[PurePosixPath(name).suffix], content, headers)


def _kept(manifest: Manifest) -> tuple[tuple[bytes, bytes], ...]:
    return (b"cache-control", _FOR_GOOD_FOR_ONE), (b"etag", f'"{manifest.short_version}"'.encode())
