"""How far what a server is asked now has moved from what its model was tried on, over all its processes.

The measure is the population stability index of two histograms, sum((p - q) * ln(p / q)) over their bins: Siddiqi,
Credit Risk Scorecards, 2006, whose rule of thumb is that under 0.1 nothing has moved and from 0.25 on much has. Where
nothing moves, chance alone makes it about (bins - 1) * (1 / asked + 1 / tried) large (Yurdakul, Statistical Properties
of Population Stability Index, 2018), so it is not told of fewer than LEAST answers.

What is seen is counted by bin and by stretch of time, in the slot of each process on the page of metrics, so that
whoever is asked can add up the last stretches of all; what a dead process has seen counts on until its time is over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pileus.bundles import Manifest
from pileus.bundles.reference import MAX_BINS
from pileus.serving.metrics import Slot, Values

FEATURES = ("ink", "confidence")
LEAST = 200
"""Items in the window."""
STRETCH_S = 300
NUM_STRETCHES = 12
"""The window is the current stretch and those before it."""
_NUM_MODELS = 2
"""That may answer side by side, as while the model is changed; a third takes the place of the oldest counts."""
_HALF = 0.5
"""Added to each bin, so that an empty one has a logarithm."""

_STRETCH, _MODEL, _COUNTS = 0, 1, 2
_CELL = _COUNTS + MAX_BINS * len(FEATURES)


class Seen:
    """The counts of a server's processes: `add` writes the bound slot, `stability` reads all."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._first = slot.take(_CELL * NUM_STRETCHES * _NUM_MODELS)
        self._starts = range(self._first, slot.num_places, _CELL)
        self._latest = self._first

    def add(self, model: int, counts: Sequence[Sequence[int]], now: float) -> None:
        """Of one batch, by feature and bin. `model` as `number_of`, `now` as time.monotonic."""
        values, stretch = self._slot.values, _stretch_at(now)
        start = self._latest
        if values[start + _STRETCH] != stretch or values[start + _MODEL] != model:
            start = self._latest = self._cell_of(values, stretch, model)
        for feature, bins in enumerate(counts):
            for place, count in enumerate(bins, start + _COUNTS + feature * MAX_BINS):
                values[place] += count

    def stability(self, manifest: Manifest, slots: Sequence[Values], now: float) -> tuple[int, dict[str, float]]:
        """Items in the window, and the index by feature: none where there are too few, or nothing to compare with."""
        reference = manifest.reference
        if reference is None:
            return 0, {}
        totals = self._totals(number_of(manifest), slots, now)
        num_items = int(sum(totals[0]))
        if num_items < LEAST:
            return num_items, {}
        tried = (reference.ink.counts, reference.confidence.counts)
        pairs = zip(FEATURES, totals, tried, strict=True)
        return num_items, {name: stability_index(asked[: len(counts)], counts) for name, asked, counts in pairs}

    def _cell_of(self, values: Values, stretch: int, model: int) -> int:
        """Where counts of this stretch and model are kept, if need be in place of the oldest."""
        for start in self._starts:
            if values[start + _STRETCH] == stretch and values[start + _MODEL] == model:
                return start
        start = min(self._starts, key=lambda start: values[start + _STRETCH])
        for place in range(start, start + _CELL):
            values[place] = 0
        values[start + _STRETCH], values[start + _MODEL] = stretch, model
        return start

    def _totals(self, model: int, slots: Sequence[Values], now: float) -> list[list[float]]:
        """By feature and bin."""
        totals = [0.0] * (_CELL - _COUNTS)
        before = _stretch_at(now) - NUM_STRETCHES
        for values in slots:
            for start in self._starts:
                if values[start + _MODEL] == model and values[start + _STRETCH] > before:
                    for number in range(len(totals)):
                        totals[number] += values[start + _COUNTS + number]
        return [totals[first : first + MAX_BINS] for first in range(0, len(totals), MAX_BINS)]


def stability_index(asked: Sequence[float], tried: Sequence[float]) -> float:
    """0 for equal shares of the bins, and without a bound; the same either way round. Counts by bin."""
    num_asked, num_tried = sum(asked) + _HALF * len(asked), sum(tried) + _HALF * len(tried)
    shares = [((a + _HALF) / num_asked, (t + _HALF) / num_tried) for a, t in zip(asked, tried, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in shares)


def number_of(manifest: Manifest) -> int:
    """Tells models apart: the first digits of the version, as many as a float64 holds."""
    return int(manifest.version[:12] or "0", 16)


def _stretch_at(now: float) -> int:
    """1 and more: 0 is what memory is at first."""
    return int(now // STRETCH_S) + 1
