"""Whom long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    def say(self, text: str) -> None:
        """One line for a person."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Samples trained on so far and in all."""
        ...


class Silent:
    def say(self, text: str) -> None:
        return None

    def progress(self, done: int, total: int) -> None:
        return None
