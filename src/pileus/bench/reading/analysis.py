"""What the trials of a study say, in figures: costs, effects, and each cell under its roof."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from pileus.bench.reading.ceilings import Ceilings
from pileus.bench.reading.design import NAMES, CacheState, Cell, Factors, Format, level_name
from pileus.bench.reading.regression import Effect, Estimate, Fit, Unfit, cost_of_reading, speed_effects
from pileus.bench.reading.results import Done
from pileus.bench.reading.roofline import Bound, bounds_of
from pileus.bench.reading.trial import Outcome
from pileus.spec.values import Spec

_COLD, _WARM = 0.05, 0.95
"""Of the files, the share in memory up to which they count as cold, and from which as warm."""

Key = TypeVar("Key", bound=Hashable)


class Measured(NamedTuple):
    """A trial that did not fail."""

    cell: Cell
    outcome: Outcome


class Group(Spec, frozen=True, kw_only=True):
    """Trials that differ in batch size and number of batches alone."""

    format: Format
    pixels: int
    store: str
    cache: CacheState
    readers: int

    @property
    def label(self) -> str:
        size = f"{self.pixels} px" if self.pixels else "as they come"
        threads = "1 reader" if self.readers == 1 else f"{self.readers} readers"
        return f"{self.format}, {size}, {self.store}, {self.cache}, {threads}"


class Cost(Spec, frozen=True, kw_only=True):
    """Seconds of a group's trials, on their batches and images."""

    group: Group
    fit: Fit | Unfit


class Startup(Spec, frozen=True, kw_only=True):
    """Seconds from nothing to the first batch; medians."""

    format: Format
    store: str
    cache: CacheState
    trials: int
    process_s: float
    open_s: float
    first_batch_s: float


class Advantage(Spec, frozen=True, kw_only=True):
    """Speed of shards by that of files, all else equal."""

    store: str
    cache: CacheState
    ratio: Estimate


class Evidence(Spec, frozen=True, kw_only=True):
    """Whether cold was cold and warm was warm."""

    checked: int
    """Trials of which the system told how much of their files was in memory."""
    unchecked: int
    not_cold: int
    """Cold ones that began with more in memory than can be called cold."""
    not_warm: int
    disk_bytes_cold: int | None
    """That came from the disk in all local cold trials; None where the system does not tell."""
    disk_bytes_warm: int | None
    miscounted: int
    """Trials with other than the images that were asked for."""


class Analysis(Spec, frozen=True, kw_only=True):
    trials: int
    failed: int
    images: int
    """That were counted."""
    costs: tuple[Cost, ...]
    speed: Fit | Unfit
    effects: tuple[Effect, ...]
    advantages: tuple[Advantage, ...]
    """By store and cache; none where only one format was asked for."""
    startups: tuple[Startup, ...]
    bounds: tuple[Bound, ...]
    ceilings: Ceilings
    evidence: Evidence


def analyse(factors: Factors, done: Sequence[Done], ceilings: Ceilings) -> Analysis:
    """Of the trials that did not fail; there may be none."""
    measured = [Measured(each.trial.cell, each.outcome) for each in done if each.outcome is not None]
    speed, effects = _effects(factors, measured)
    rates = {
        cell: statistics.median(one.outcome.images_per_s for one in trials)
        for cell, trials in _grouped(measured, lambda one: one.cell).items()
    }
    groups = _grouped(measured, lambda one: group_of(one.cell))
    return Analysis(
        trials=len(done),
        failed=len(done) - len(measured),
        images=sum(one.outcome.images for one in measured),
        costs=tuple(Cost(group=group, fit=_cost(trials)) for group, trials in groups.items()),
        speed=speed,
        effects=tuple(effects),
        advantages=tuple(_advantages(factors, measured)),
        startups=tuple(_startups(measured)),
        bounds=tuple(bounds_of(rates, ceilings)),
        ceilings=ceilings,
        evidence=_evidence(measured),
    )


def group_of(cell: Cell) -> Group:
    return Group(format=cell.format, pixels=cell.pixels, store=cell.store.name, cache=cell.cache, readers=cell.readers)


def _cost(trials: Sequence[Measured]) -> Fit | Unfit:
    outcomes = [one.outcome for one in trials]
    return cost_of_reading(
        [outcome.batches_read for outcome in outcomes],
        [outcome.images for outcome in outcomes],
        [outcome.wall_s for outcome in outcomes],
    )


def _effects(factors: Factors, measured: Sequence[Measured]) -> tuple[Fit | Unfit, list[Effect]]:
    bases = {name: str(level_name(getattr(factors, name)[0])) for name in NAMES}
    levels = [{name: str(level_name(getattr(one.cell, name))) for name in NAMES} for one in measured]
    return speed_effects(levels, [one.outcome.images_per_s for one in measured], bases)


def _advantages(factors: Factors, measured: Sequence[Measured]) -> list[Advantage]:
    """From a model of each store and cache apart, since that is where the formats differ."""
    found = []
    for (store, cache), trials in _grouped(measured, lambda one: (one.cell.store.name, one.cell.cache)).items():
        _, effects = _effects(factors, trials)
        for effect in effects:
            if effect.factor == "format":
                ratio = effect.ratio if effect.level == "shards" else _inverse(effect.ratio)
                found.append(Advantage(store=store, cache=cache, ratio=ratio))
    return found


def _inverse(ratio: Estimate) -> Estimate:
    return Estimate(name=ratio.name, value=1 / ratio.value, low=1 / ratio.high, high=1 / ratio.low)


def _startups(measured: Sequence[Measured]) -> list[Startup]:
    groups = _grouped(measured, lambda one: (one.cell.format, one.cell.store.name, one.cell.cache))
    return [
        Startup(
            format=form,
            store=store,
            cache=cache,
            trials=len(trials),
            process_s=statistics.median(one.outcome.process_s for one in trials),
            open_s=statistics.median(one.outcome.open_s for one in trials),
            first_batch_s=statistics.median(one.outcome.first_batch_s for one in trials),
        )
        for (form, store, cache), trials in groups.items()
    ]


def _evidence(measured: Sequence[Measured]) -> Evidence:
    """Of remote files nothing is seen here, and what is behind a cache of shards is read from it."""
    seen = [(one.cell.cache, one.outcome.resident) for one in measured if one.outcome.resident is not None]
    return Evidence(
        checked=len(seen),
        unchecked=len(measured) - len(seen),
        not_cold=sum(cache == "cold" and resident > _COLD for cache, resident in seen),
        not_warm=sum(cache == "warm" and resident < _WARM for cache, resident in seen),
        disk_bytes_cold=_disk_bytes(measured, "cold"),
        disk_bytes_warm=_disk_bytes(measured, "warm"),
        miscounted=sum(one.outcome.images != one.cell.batch_size * one.cell.batches for one in measured),
    )


def _disk_bytes(measured: Sequence[Measured], cache: CacheState) -> int | None:
    told = [one.outcome.disk_bytes for one in measured if one.cell.cache == cache]
    known = [size_bytes for size_bytes in told if size_bytes is not None]
    return sum(known) if known else None


def _grouped(measured: Sequence[Measured], key: Callable[[Measured], Key]) -> dict[Key, list[Measured]]:
    """In a fixed order of the keys' texts, not in the drawn order of the trials."""
    found: dict[Key, list[Measured]] = {}
    for one in measured:
        found.setdefault(key(one), []).append(one)
    return dict(sorted(found.items(), key=lambda item: repr(item[0])))
