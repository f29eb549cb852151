"""A figure over rounds: what every study tells of what it measured more than once."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pileus.spec.values import Spec


class Spread(Spec, frozen=True, kw_only=True):
    """Of a figure over the rounds."""

    median: float
    min: float
    max: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median=statistics.median(values), min=min(values), max=max(values), runs=len(values))
