"""What a model tells apart, in the order of its logits: its classes, and what it may know beside them."""

from __future__ import annotations

from collections.abc import Iterable


def labels_of(classes: Iterable[str], none: str | None, several: str | None) -> tuple[str, ...]:
    """`none` and `several` are left out where they are None."""
    return (*classes, *(name for name in (none, several) if name is not None))
