"""The base of every spec: frozen, keyword-only, unknown fields refused, one canonical text and hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of frozen specs. Impossible values fail at construction."""


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, two-space indent, a newline at the end."""
    plain = msgspec.to_builtins(value, str_keys=True)  # numbers as keys cannot be sorted
    return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=2) + b"\n"


def digest(content: bytes | memoryview) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def leaves(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """By 'a.b', what is no mapping in nested mappings, in order."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
