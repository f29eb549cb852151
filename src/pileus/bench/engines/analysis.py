"""What the trials of a study of engines say: each cell's costs, and how engines and stores stand to one another."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from pileus.bench.engines.design import FILES, Cell, Skipped, Trial
from pileus.bench.engines.trial import Outcome
from pileus.bench.reachable import LeftOut
from pileus.bench.spread import Spread
from pileus.measure.classification import ClassFigures
from pileus.spec.values import Spec

LOCAL = "local"
"""The engine that others are compared with."""


class Done(Spec, frozen=True, kw_only=True):
    """A trial that has ended: a line of results.jsonl."""

    trial: Trial
    outcome: Outcome | None
    """None where it failed."""
    error: str = ""


class Figures(Spec, frozen=True, kw_only=True):
    """Of one cell, over the rounds."""

    cell: Cell
    total_s: Spread
    start_s: Spread
    work_s: Spread
    accuracy: float
    """Median, as the figures below but the last."""
    macro_f1: float
    peak_bytes: float
    processes: float
    network_bytes: float
    fingerprints: tuple[str, ...]
    """Each once."""


class Failed(Spec, frozen=True, kw_only=True):
    cell: Cell
    error: str


class Model(Spec, frozen=True, kw_only=True):
    """Of the cells of one model on one data set: what does not depend on the engine."""

    data: str
    model: str
    fingerprints: tuple[str, ...]
    """Each once; one of them where all trials came to the same weights."""
    trials: int
    accuracy: float
    """Of the first trial, as all below."""
    macro_f1: float
    classes: tuple[ClassFigures, ...]
    accuracy_by_k: tuple[float, ...]


class Beside(Spec, frozen=True, kw_only=True):
    """An engine beside `local`, all else equal: over the cells that both have."""

    data: str
    model: str
    engine: str
    late_s: float
    """Median difference of the start-up; above 0: it starts later."""
    work: float
    """Median quotient of the work; above 1: it is slower."""
    cells: int


class Distance(Spec, frozen=True, kw_only=True):
    """A store beside the files of this machine."""

    store: str
    start: float
    """Median quotient of the start-up, as of the work."""
    work: float
    cells: int


class Analysis(Spec, frozen=True, kw_only=True):
    trials: int
    failed: tuple[Failed, ...]
    figures: tuple[Figures, ...]
    """In the order in which the cells were asked for."""
    models: tuple[Model, ...]
    beside: tuple[Beside, ...]
    stores: tuple[Distance, ...]
    skipped: tuple[Skipped, ...]
    left_out: tuple[LeftOut, ...]


def analyse(
    cells: Sequence[Cell], done: Sequence[Done], skipped: Sequence[Skipped], left_out: Sequence[LeftOut]
) -> Analysis:
    """Of the trials that did not fail; there may be none."""
    outcomes: dict[Cell, list[Outcome]] = {cell: [] for cell in cells}
    for each in done:
        if each.outcome is not None:
            outcomes[each.trial.cell].append(each.outcome)
    measured = {cell: found for cell, found in outcomes.items() if found}
    figures = [_figures(cell, found) for cell, found in measured.items()]
    return Analysis(
        trials=len(done),
        failed=tuple(Failed(cell=each.trial.cell, error=each.error) for each in done if each.outcome is None),
        figures=tuple(figures),
        models=tuple(_models(measured)),
        beside=tuple(_beside(figures)),
        stores=tuple(_stores(figures)),
        skipped=tuple(skipped),
        left_out=tuple(left_out),
    )


def _figures(cell: Cell, outcomes: list[Outcome]) -> Figures:
    def median(of: Callable[[Outcome], float]) -> float:
        return statistics.median(map(of, outcomes))

    return Figures(
        cell=cell,
        total_s=Spread.of([each.total_s for each in outcomes]),
        start_s=Spread.of([each.start_s for each in outcomes]),
        work_s=Spread.of([each.work_s for each in outcomes]),
        accuracy=median(lambda each: each.accuracy),
        macro_f1=median(lambda each: each.macro_f1),
        peak_bytes=median(lambda each: each.peak_bytes),
        processes=median(lambda each: each.processes),
        network_bytes=median(lambda each: each.network_bytes),
        fingerprints=tuple(dict.fromkeys(each.fingerprint for each in outcomes)),
    )


def _models(measured: dict[Cell, list[Outcome]]) -> list[Model]:
    found = []
    for data, model in dict.fromkeys((cell.data, cell.model) for cell in measured):
        mine = [
            each for cell, outcomes in measured.items() for each in outcomes if (cell.data, cell.model) == (data, model)
        ]
        first = mine[0]
        found.append(
            Model(
                data=data,
                model=model,
                fingerprints=tuple(dict.fromkeys(each.fingerprint for each in mine)),
                trials=len(mine),
                accuracy=first.accuracy,
                macro_f1=first.macro_f1,
                classes=first.classes,
                accuracy_by_k=first.accuracy_by_k,
            )
        )
    return found


def _beside(figures: Sequence[Figures]) -> list[Beside]:
    by_cell = {each.cell: each for each in figures}
    pairs: dict[tuple[str, str, str], list[tuple[Figures, Figures]]] = {}
    for each in figures:
        cell = each.cell
        local = by_cell.get(msgspec.structs.replace(cell, engine=LOCAL))
        if cell.engine != LOCAL and local is not None:
            pairs.setdefault((cell.data, cell.model, cell.engine), []).append((each, local))
    return [
        Beside(
            data=data,
            model=model,
            engine=engine,
            late_s=statistics.median(one.start_s.median - local.start_s.median for one, local in mine),
            work=statistics.median(_quotient(one.work_s, local.work_s) for one, local in mine),
            cells=len(mine),
        )
        for (data, model, engine), mine in pairs.items()
    ]


def _stores(figures: Sequence[Figures]) -> list[Distance]:
    by_cell = {each.cell: each for each in figures}
    pairs: dict[str, list[tuple[Figures, Figures]]] = {}
    for each in figures:
        here = by_cell.get(msgspec.structs.replace(each.cell, store=FILES))
        if each.cell.store != FILES and here is not None:
            pairs.setdefault(each.cell.store, []).append((each, here))
    return [
        Distance(
            store=store,
            start=statistics.median(_quotient(one.start_s, here.start_s) for one, here in mine),
            work=statistics.median(_quotient(one.work_s, here.work_s) for one, here in mine),
            cells=len(mine),
        )
        for store, mine in pairs.items()
    ]


def _quotient(one: Spread, other: Spread) -> float:
    return one.median / max(other.median, 1e-9)
