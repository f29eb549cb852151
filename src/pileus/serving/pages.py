"""The page's files, read once from the package, with the headers that keep a browser strict with them."""

from __future__ import annotations

from importlib.resources import files

from pileus.serving.answers import Answer
from pileus.spec.values import digest

_FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/page.js": ("page.js", b"text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", b"image/svg+xml"),
}

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def read_pages() -> dict[str, Answer]:
    """By path."""
    folder = files("pileus.serving") / "page"
    return {path: _page((folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}


def _page(content: bytes, media_type: bytes) -> Answer:
    headers = (
        (b"content-security-policy", _POLICY),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cache-control", b"no-cache"),
        (b"etag", f'"{digest(content)[:16]}"'.encode()),
    )
    return Answer(200, media_type, content, headers)
