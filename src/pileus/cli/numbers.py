"""Numbers of the command line, within the bounds that their option has."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(kind: Callable[[str], Number], low: Number, high: Number) -> Callable[[str], Number]:
    """A type for argparse: numbers in [low, high]."""

    def parsed(text: str) -> Number:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"a number from {low:,g} to {high:,g} is needed (got {text!r})")

    return parsed
