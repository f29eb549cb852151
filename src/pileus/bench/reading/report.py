"""The record of a study for a person: one page that needs nothing else, a README, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pileus.bench.folder import finish
from pileus.bench.reading.analysis import Analysis, Cost, Measured
from pileus.bench.reading.ceilings import Ceilings
from pileus.bench.reading.design import NAMES, Factors, level_name
from pileus.bench.reading.findings import best_cost, caveats, findings, rate_told, time_told
from pileus.bench.reading.plots import all_plots
from pileus.bench.reading.regression import Estimate, Fit
from pileus.bench.reading.request import Request, command_of
from pileus.bench.reading.results import Done
from pileus.measure.report import Tile, render_page, rows_of

_FACTOR_TEXTS = {
    "format": "format",
    "pixels": "pixels a side (0: as they come)",
    "batch_size": "images in a batch",
    "batches": "batches in a trial",
    "readers": "reader threads",
    "cache": "cache before a trial",
    "store": "store",
}


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """What a record is made of."""

    request: Request
    """Without paths of this machine."""
    analysis: Analysis
    measured: Sequence[Measured]
    failed: Sequence[Done]
    read_size: tuple[int, int] | None
    """(H, W) that pictures in sizes of their own became when they were read."""
    environment: Mapping[str, Any]


class CostRow(NamedTuple):
    """A line of the table of costs, in milliseconds."""

    label: str
    fit: Fit | None
    reason: str
    """Where there is no fit."""


def write_record(out: Path, content: StudyContent) -> None:
    finish(out, report_page(content), readme(content), figures_document(content.analysis))


def figures_document(analysis: Analysis) -> dict[str, Any]:
    """All that was found, without what each observation left."""
    document: dict[str, Any] = msgspec.to_builtins(analysis)
    for fit in (document["speed"], *(cost["fit"] for cost in document["costs"])):
        fit.pop("fitted", None)
        fit.pop("residuals", None)
    return {"findings": findings(analysis), "caveats": caveats(analysis), **document}


def report_page(content: StudyContent) -> str:
    """MissingExtra without jinja2 or matplotlib."""
    analysis, factors = content.analysis, content.request.factors
    return render_page(
        "reading.html",
        package="pileus.bench.reading",
        source=content.request.source,
        facts=_facts(content),
        tiles=_tiles(analysis),
        findings=findings(analysis),
        caveats=caveats(analysis),
        levels=_levels(factors),
        factors=factors,
        times="once" if factors.repetitions == 1 else f"{factors.repetitions} times",
        read_size=content.read_size,
        remote=content.request.remote,
        late=[place.name for place in factors.store if place.latency_ms and not place.remote],
        analysis=analysis,
        plots=all_plots(analysis, content.measured),
        costs=[_cost_row(cost) for cost in analysis.costs],
        ceilings=_ceiling_rows(analysis.ceilings),
        failed=content.failed,
        command=command_of(content.request, "OUT"),
        environment=rows_of(content.environment),
        ms=_milliseconds,
        ratio=_ratio,
        rate=rate_told,
    )


def readme(content: StudyContent) -> str:
    said = "".join(f"- {sentence}\n" for sentence in findings(content.analysis))
    known = "".join(f"- {sentence}\n" for sentence in caveats(content.analysis))
    machine = content.environment
    return (
        f"# Reading {content.request.source}\n\n{said or '- No trial told anything.'}\n"
        + (f"To be known:\n\n{known}\n" if known else "")
        + f"    {command_of(content.request, 'OUT')}\n\n"
        f"{machine['processor']}, {machine['cores']['affinity']} cores. `report.html` tells all of it; `results.csv` "
        "has a row a trial, `trials.json` the design, `figures.json` the figures, `environment.json` the machine.\n"
    )


def _facts(content: StudyContent) -> dict[str, str]:
    analysis, machine = content.analysis, content.environment
    return {
        "trials": f"{analysis.trials:,}",
        "images counted": f"{analysis.images:,}",
        "processor": str(machine["processor"]),
        "cores": str(machine["cores"]["affinity"]),
    }


def _tiles(analysis: Analysis) -> list[Tile]:
    tiles = []
    if analysis.bounds:
        fastest = max(analysis.bounds, key=lambda bound: bound.measured)
        tiles.append(Tile("Fastest cell, images/s", rate_told(fastest.measured), f"bound by {fastest.bound_by}"))
    best = best_cost(analysis)
    if best is not None and isinstance(best.fit, Fit):
        for name, title in (("per image", "An image"), ("per batch", "A batch")):
            value, _, interval = time_told(best.fit.of(name)).partition(" (")
            tiles.append(Tile(title, value, interval.rstrip(")")))
    for each in analysis.advantages[:2]:
        value = f"{each.ratio.value:.2f} x"
        tiles.append(Tile(f"Shards / files, {each.cache}", value, f"{each.ratio.low:.2f} to {each.ratio.high:.2f}"))
    if analysis.failed:
        tiles.append(Tile("Failed trials", str(analysis.failed), f"of {analysis.trials}"))
    return tiles


def _levels(factors: Factors) -> list[tuple[str, str]]:
    rows = [
        (_FACTOR_TEXTS[name], ", ".join(str(level_name(level)) for level in getattr(factors, name))) for name in NAMES
    ]
    return [*rows, ("repetitions", str(factors.repetitions)), ("seed of the order", str(factors.seed))]


def _cost_row(cost: Cost) -> CostRow:
    if isinstance(cost.fit, Fit):
        return CostRow(cost.group.label, cost.fit, "")
    return CostRow(cost.group.label, None, cost.fit.reason)


def _ceiling_rows(ceilings: Ceilings) -> list[tuple[str, str, str]]:
    """(what, images a second, MB a second)."""
    stores = [
        (
            f"store: {c.format}, {_pixels(c.pixels)}, {c.store}, {c.cache}, {_readers(c.readers)}",
            rate_told(c.images_per_s),
            f"{c.bytes_per_s / 1e6:,.1f}",
        )
        for c in ceilings.stores
    ]
    decoders = [
        (f"decode: {_pixels(c.pixels)}, {_readers(c.readers)}", rate_told(c.images_per_s), "")
        for c in ceilings.decoders
    ]
    handovers = [
        (
            f"hand-over: {_pixels(c.pixels)}, batches of {c.batch_size:,}, {_readers(c.readers)}",
            rate_told(c.images_per_s),
            "",
        )
        for c in ceilings.handovers
    ]
    return [*stores, *decoders, *handovers]


def _pixels(pixels: int) -> str:
    return f"{pixels} px" if pixels else "as they come"


def _readers(readers: int) -> str:
    return "1 thread" if readers == 1 else f"{readers} threads"


def _milliseconds(estimate: Estimate) -> str:
    value, low, high = (1e3 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def _ratio(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
