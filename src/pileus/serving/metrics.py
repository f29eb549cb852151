"""Counts and times on one page of memory that all processes of a server share, told in Prometheus' text format.

A process writes its own slot of the page, on its event loop only, without locks; whoever is asked adds up all slots.
What a dead process has counted stays in its slot and the next one there counts on, so that no counter goes back.
Kept by hand, not by prometheus_client: its files by process are slower to write and to read, and it is one more
library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TypeAlias

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
TENTHS = tuple(round(0.1 * number, 1) for number in range(1, 11))

Labels = tuple[str, ...]
Values: TypeAlias = "memoryview[float]"
"""float64, one for each place."""


class Slot:
    """Metrics take places in it as they are made, in the same order in every process; then it is bound to memory."""

    def __init__(self) -> None:
        self.num_places = 0
        self.values: Values = memoryview(b"").cast("d")

    def take(self, num_places: int) -> int:
        """The first of so many places."""
        first, self.num_places = self.num_places, self.num_places + num_places
        return first

    def bind(self, values: Values) -> None:
        assert len(values) == self.num_places
        self.values = values


class Counter:
    """The values of all its labels are known beforehand, for each has its place.

    With one label or none all are told from the beginning, so that a rise from nothing is seen as one; with several,
    which are many, those that are not 0.
    """

    kind = "counter"

    def __init__(self, slot: Slot, name: str, text: str, labels: dict[str, Sequence[str]] | None = None) -> None:
        self._slot, self.name, self.text = slot, name, text
        self.labels = tuple(labels or ())
        keys: list[Labels] = list(product(*(labels or {}).values()))
        first = slot.take(len(keys))
        self._places = {key: first + number for number, key in enumerate(keys)}

    def add(self, *values: str, amount: float = 1.0) -> None:
        self._slot.values[self._places[values]] += amount

    def lines(self, totals: Sequence[float]) -> Iterator[str]:
        yield from _head(self)
        for values, place in self._places.items():
            if totals[place] or len(self.labels) < 2:
                yield f"{self.name}{_labelled(self.labels, values)} {totals[place]:.15g}"


class Gauge:
    """What is now; a process that ends or dies has none of it."""

    kind = "gauge"
    labels: Labels = ()

    def __init__(self, slot: Slot, name: str, text: str, read: Callable[[], float]) -> None:
        self.name, self.text = name, text
        self._slot, self._read = slot, read
        self.place = slot.take(1)

    def note(self) -> None:
        self._slot.values[self.place] = self._read()

    def lines(self, totals: Sequence[float]) -> Iterator[str]:
        yield from _head(self)
        yield f"{self.name} {totals[self.place]:.15g}"


class Histogram:
    """`bounds` are the upper ends, inclusive, of the buckets below +Inf; of the label all values are known."""

    kind = "histogram"

    def __init__(
        self,
        slot: Slot,
        name: str,
        text: str,
        bounds: tuple[float, ...],
        label: tuple[str, Sequence[str]] = ("", ("",)),
    ) -> None:
        self.name, self.text = name, text
        self._slot, self._bounds = slot, bounds
        self._label, values = label
        self.labels: Labels = (self._label,) if self._label else ()
        width = len(bounds) + 2
        first = slot.take(width * len(values))
        self._places = {value: first + width * number for number, value in enumerate(values)}

    def observe(self, value: float, label: str = "") -> None:
        place, values = self._places[label], self._slot.values
        values[place] += value
        values[place + 1 + bisect_left(self._bounds, value)] += 1

    def add_counts(self, counts: Sequence[int], total: float) -> None:
        """By bucket, and the sum of the values behind them."""
        place, values = self._places[""], self._slot.values
        values[place] += total
        for number, count in enumerate(counts, start=place + 1):
            values[number] += count

    def lines(self, totals: Sequence[float]) -> Iterator[str]:
        yield from _head(self)
        names = self.labels
        for value, place in self._places.items():
            values = (value,) if self._label else ()
            counts = totals[place + 1 : place + 2 + len(self._bounds)]
            if names and not any(counts):
                continue
            total = 0.0
            for bound, count in zip([*self._bounds, "+Inf"], counts, strict=True):
                total += count
                yield f"{self.name}_bucket{_labelled((*names, 'le'), (*values, str(bound)))} {total:.15g}"
            yield f"{self.name}_sum{_labelled(names, values)} {totals[place]:.15g}"
            yield f"{self.name}_count{_labelled(names, values)} {total:.15g}"


class Computed:
    """A gauge with no place of its own: who is asked works out its values from what all processes have kept."""

    kind = "gauge"

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self.text, self.labels = name, text, labels

    def told(self, values: Mapping[Labels, float]) -> bytes:
        """By the values of the labels. What is not known is left out."""
        lines = [f"{self.name}{_labelled(self.labels, each)} {value:.9g}" for each, value in values.items()]
        return ("\n".join([*_head(self), *lines]) + "\n").encode()


Metric = Counter | Gauge | Histogram


def rendered(metrics: Sequence[Metric], slots: Sequence[Values]) -> bytes:
    """All slots as one."""
    totals = [sum(place) for place in zip(*slots, strict=True)]
    return ("\n".join(line for metric in metrics for line in metric.lines(totals)) + "\n").encode()


def _head(metric: Metric | Computed) -> tuple[str, str]:
    return f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"


def _labelled(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
