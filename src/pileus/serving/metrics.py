"""Counts and times of this process, told in Prometheus' text format.

Kept by hand, not by prometheus_client: three small kinds, changed on the event loop only, without locks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Protocol

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)

Labels = tuple[str, ...]


class Metric(Protocol):
    def lines(self) -> Iterator[str]: ...


class Counter:
    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, *values: str, amount: float = 1) -> None:
        self._values[values] = self._values.get(values, 0) + amount

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._text, "counter")
        for values, count in self._values.items():
            yield f"{self._name}{_labelled(self._labels, values)} {count:.15g}"


class Gauge:
    """Read when it is told."""

    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._name, self._text, self._read = name, text, read

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._text, "gauge")
        yield f"{self._name} {self._read():.15g}"


class Info:
    """A gauge of 1 whose labels tell what does not change."""

    def __init__(self, name: str, text: str, labels: dict[str, str]) -> None:
        self._name, self._text, self._labels = name, text, labels

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._text, "gauge")
        yield f"{self._name}{_labelled(tuple(self._labels), tuple(self._labels.values()))} 1"


class Histogram:
    """`bounds` are the upper ends, inclusive, of the buckets below +Inf."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: Labels = ()) -> None:
        self._name, self._text, self._bounds, self._labels = name, text, bounds, labels
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._text, "histogram")
        for values, counts in self._counts.items():
            total = 0
            for bound, count in zip([*self._bounds, "+Inf"], counts, strict=True):
                total += count
                labels = _labelled((*self._labels, "le"), (*values, str(bound)))
                yield f"{self._name}_bucket{labels} {total}"
            labels = _labelled(self._labels, values)
            yield f"{self._name}_sum{labels} {self._sums[values]:.9g}"
            yield f"{self._name}_count{labels} {total}"


def rendered(metrics: list[Metric]) -> bytes:
    return ("\n".join(line for metric in metrics for line in metric.lines()) + "\n").encode()


def _head(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labelled(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
