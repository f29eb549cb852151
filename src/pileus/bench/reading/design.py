"""Which trials the study of reading is made of.

Every combination of the levels is tried once in each repetition, in an order that is drawn anew for each: a drift of
the machine then meets all combinations alike, and a study that was stopped is balanced up to its last repetition.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from pileus.data.order import permutation
from pileus.errors import SpecError
from pileus.spec.reading import Count
from pileus.spec.values import Spec

Format = Literal["files", "shards"]
CacheState = Literal["warm", "cold"]

MAX_SIDE = 4096
MAX_LATENCY_MS = 10_000.0
MAX_SEED = 2**31
MAX_TRIALS = 10_000
MAX_IMAGES = 1 << 20
"""Of one trial, and so of the set that is written for it."""

Side = Annotated[int, Meta(ge=0, le=MAX_SIDE)]

_PROCESS_S, _FILE_S, _COLD_FILE_S = 0.35, 45e-6, 150e-6
"""Rough costs on a core of 2024, for the forecast of the study's length alone."""


class Place(Spec, frozen=True, kw_only=True):
    """Where the set lies."""

    remote: bool = False
    """In the store that the user named, else in files of this machine."""
    latency_ms: Annotated[float, Meta(ge=0, le=MAX_LATENCY_MS)] = 0.0
    """Waited before each request, on top of what the store itself takes."""

    @property
    def name(self) -> str:
        injected = f"+{self.latency_ms:g}ms" if self.latency_ms else ""
        return ("remote" if self.remote else "local") + injected

    @property
    def is_cached(self) -> bool:
        """Read by way of the cache of shards, as remote stores are."""
        return self.remote or self.latency_ms > 0


def places_of(latencies_ms: Sequence[float], *, remote: bool) -> tuple[Place, ...]:
    """This machine's files behind each latency; with a remote store its files as they are, and that behind each."""
    if remote:
        return (Place(), *(Place(remote=True, latency_ms=latency) for latency in latencies_ms))
    return tuple(Place(latency_ms=latency) for latency in latencies_ms)


class Cell(Spec, frozen=True, kw_only=True):
    """One combination of levels."""

    format: Format
    pixels: Side
    batch_size: Count
    batches: Count
    readers: Count
    cache: CacheState
    store: Place


class Trial(Spec, frozen=True, kw_only=True):
    """One measurement of a cell."""

    number: int
    """In the order in which they are run, from 0."""
    repetition: int
    cell: Cell


class Factors(Spec, frozen=True, kw_only=True):
    """The levels of each factor; the first of each is what the others are compared with. SpecError where impossible."""

    format: tuple[Format, ...] = ("files", "shards")
    pixels: tuple[Side, ...] = (0,)
    """Side in pixels of the stored pictures, resized when they are written; 0: as they come."""
    batch_size: tuple[Count, ...] = (16, 64)
    batches: tuple[Count, ...] = (2, 8)
    """Counted in one trial."""
    readers: tuple[Count, ...] = (1, 2)
    cache: tuple[CacheState, ...] = ("warm", "cold")
    store: tuple[Place, ...] = (Place(),)
    repetitions: Count = 3
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0
    """Of the order of the trials, and of the images within them."""

    def __post_init__(self) -> None:
        for name in NAMES:
            levels = getattr(self, name)
            if not levels or len(set(levels)) < len(levels):
                shown = ", ".join(str(level_name(level)) for level in levels) or "none"
                raise SpecError(f"{name} must have one or more levels, each once (got {shown}); name each once.")
        if self.num_trials > MAX_TRIALS:
            raise SpecError(
                f"a study has at most {MAX_TRIALS:,} trials (got {self.num_trials:,}: {self.num_cells:,} combinations, "
                f"{self.repetitions:,} times each); give fewer levels or fewer repetitions."
            )
        if self.num_images > MAX_IMAGES:
            raise SpecError(
                f"a trial reads at most {MAX_IMAGES:,} images (got batches of {max(self.batch_size):,}, "
                f"{max(self.batches):,} of them); lower one of the two."
            )

    @property
    def num_cells(self) -> int:
        return math.prod(len(getattr(self, name)) for name in NAMES)

    @property
    def num_trials(self) -> int:
        return self.num_cells * self.repetitions

    @property
    def num_images(self) -> int:
        """Of the largest trial; none is read twice in a trial."""
        return max(self.batch_size) * max(self.batches)

    @property
    def size_of_originals(self) -> int:
        """Side of what pictures in sizes of their own are made when they are read."""
        return max(self.pixels) or 224


NAMES = ("format", "pixels", "batch_size", "batches", "readers", "cache", "store")
"""Of the factors, as fields of Factors and of Cell."""


def level_name(level: Format | CacheState | Place | int) -> str | int:
    """A level as tables show it."""
    return level.name if isinstance(level, Place) else level


def all_cells(factors: Factors) -> list[Cell]:
    crossed = itertools.product(*(getattr(factors, name) for name in NAMES))
    return [Cell(**dict(zip(NAMES, levels, strict=True))) for levels in crossed]


def all_trials(factors: Factors) -> list[Trial]:
    """In the order in which they are run."""
    cells = all_cells(factors)
    drawn = [
        (repetition, cells[place])
        for repetition in range(factors.repetitions)
        for place in permutation(factors.seed, repetition, len(cells)).tolist()
    ]
    return [Trial(number=number, repetition=each[0], cell=each[1]) for number, each in enumerate(drawn)]


def expected_s(factors: Factors, trials: Sequence[Trial], image_s: float) -> float:
    """About how long they take, for who waits; `image_s` is about what an image costs one reader."""
    return sum(_expected_s(trial.cell, image_s) for trial in trials) + len(trials) * factors.num_images * _FILE_S


def _expected_s(cell: Cell, image_s: float) -> float:
    images, readers = cell.batch_size * cell.batches, min(cell.readers, 2)
    begun = images + 2 * cell.batch_size * readers
    latency_s, is_cold = cell.store.latency_ms / 1000, cell.cache == "cold"
    waited_s = 6 * latency_s
    if cell.format == "files":
        waited_s += (latency_s + (_COLD_FILE_S if is_cold else 0.0)) * begun / cell.readers
    elif is_cold:
        waited_s += 4 * latency_s
    return _PROCESS_S + waited_s + begun * image_s / readers
