"""What the sources of this package offer beyond the port, and what they share."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

from pileus.data.ports import Source, Split
from pileus.spec.values import canonical_json


class Row(NamedTuple):
    """What is known of a sample without reading its image."""

    label: int
    id: str
    split: Split | None


class ListedSource(Source, Protocol):
    """A source that can be counted and shown without reading its images."""

    def row(self, index: int) -> Row: ...


def source_hash(kind: str, *described: object) -> hashlib._Hash:
    """A SHA-256 to go on with, begun by what a source is besides its images."""
    return hashlib.sha256(canonical_json([kind, *described]))
