"""The record of a study of engines for a person: one page, a README, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pileus.bench.engines.analysis import Analysis, Figures
from pileus.bench.engines.design import Cell, Request
from pileus.bench.engines.findings import caveats, findings, seconds_told, size_told
from pileus.bench.engines.plots import all_plots
from pileus.bench.folder import finish
from pileus.measure.report import Tile, render_page, rows_of
from pileus.spec.run import RunSpec

HEADER = (
    "data",
    "model",
    "engine",
    "workers",
    "store",
    "total s",
    "start-up s",
    "work s",
    "accuracy",
    "memory",
    "traffic",
)


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """What a record is made of."""

    request: Request
    """Without paths of this machine."""
    specs: Mapping[Cell, RunSpec]
    analysis: Analysis
    environment: Mapping[str, Any]

    @property
    def caveats(self) -> list[str]:
        return caveats(self.analysis, self.request, int(self.environment["cores"]["affinity"]))


def write_record(out: Path, content: StudyContent) -> None:
    finish(out, report_page(content), readme(content), figures_document(content))


def figures_document(content: StudyContent) -> dict[str, Any]:
    """All that was found."""
    document: dict[str, Any] = msgspec.to_builtins(content.analysis)
    return {"findings": findings(content.analysis), "caveats": content.caveats, **document}


def rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """The table, with a row for each cell that was tried; one that failed says why."""
    measured = [_row(each) for each in analysis.figures]
    return measured + [(*_names(each.cell), f"failed: {each.error}", "", "", "", "", "") for each in analysis.failed]


def markdown(analysis: Analysis) -> str:
    lines = [HEADER, tuple("---" for _ in HEADER), *rows(analysis)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def report_page(content: StudyContent) -> str:
    """MissingExtra without jinja2 or matplotlib."""
    request, analysis = content.request, content.analysis
    return render_page(
        "engines.html",
        package="pileus.bench.engines",
        source=", ".join(request.data),
        facts={
            "trials": f"{analysis.trials:,}",
            "processor": str(content.environment["processor"]),
            "cores": str(content.environment["cores"]["affinity"]),
        },
        tiles=_tiles(analysis),
        findings=findings(analysis),
        caveats=content.caveats,
        asked=_asked(content),
        analysis=analysis,
        header=HEADER,
        rows=rows(analysis),
        legend=LEGEND,
        plots=all_plots(analysis),
        command=request.command("OUT"),
        environment=rows_of(content.environment),
    )


def readme(content: StudyContent) -> str:
    request, machine = content.request, content.environment
    said = "".join(f"- {sentence}\n" for sentence in findings(content.analysis))
    known = "".join(f"- {sentence}\n" for sentence in content.caveats)
    return (
        f"# Engines on {', '.join(request.data)}\n\n{said or '- No trial told anything.'}\n"
        f"{markdown(content.analysis)}\n{LEGEND}\n\n{_classification(content.analysis)}"
        + (f"To be known:\n\n{known}\n" if known else "")
        + f"    {request.command('OUT')}\n\n"
        f"{machine['processor']}, {machine['cores']['affinity']} cores. `report.html` tells all of it; `results.jsonl` "
        "has a line a trial, `trials.json` the design, `figures.json` the figures, `environment.json` the machine.\n"
    )


LEGEND = (
    "Medians over the rounds. Total: from a cold process to the bundle. Start-up: interpreter, imports, opening the "
    "records, and the engine until its workers could begin. Memory: the most that all processes of the run held "
    "together (RSS), where pages that processes share count in each. Traffic: what went over the machine's network "
    "interfaces meanwhile, loopback included, by whatever program; what workers of one host exchange by memory is not "
    "in it. One worker that looks for neighbours needs no engine: the command itself searches."
)


def _classification(analysis: Analysis) -> str:
    told = ""
    for model in analysis.models:
        told += (
            f"{model.model} on {model.data}: accuracy {100 * model.accuracy:.2f} %, "
            f"macro F1 {100 * model.macro_f1:.2f} %\n\n"
            "| class | precision | recall | F1 | samples |\n|---|---|---|---|---|\n"
        )
        for one in model.classes:
            ratios = " | ".join(f"{100 * ratio:.2f} %" for ratio in (one.precision, one.recall, one.f1))
            told += f"| {one.name} | {ratios} | {one.support:,} |\n"
        told += "\n"
    return told


def _row(figures: Figures) -> tuple[str, ...]:
    return (
        *_names(figures.cell),
        *(seconds_told(each.median) for each in (figures.total_s, figures.start_s, figures.work_s)),
        f"{100 * figures.accuracy:.2f} %",
        size_told(figures.peak_bytes),
        size_told(figures.network_bytes),
    )


def _names(cell: Cell) -> Sequence[str]:
    return cell.data, cell.model, cell.engine, str(cell.workers), cell.store


def _tiles(analysis: Analysis) -> list[Tile]:
    tiles = []
    if analysis.figures:
        best = min(analysis.figures, key=lambda each: each.total_s.median)
        tiles.append(Tile("Done first", f"{best.total_s.median:.1f} s", best.cell.label))
        engines = dict.fromkeys(each.cell.engine for each in analysis.figures)
        for engine in engines:
            mine = [each for each in analysis.figures if each.cell.engine == engine]
            least = min(mine, key=lambda each: each.start_s.median)
            tiles.append(Tile(f"Start-up of {engine}", f"{least.start_s.median:.1f} s", least.cell.label))
    if analysis.failed:
        tiles.append(Tile("Failed trials", str(len(analysis.failed)), f"of {analysis.trials}"))
    return tiles


def _asked(content: StudyContent) -> list[tuple[str, str]]:
    request = content.request
    specs = {(cell.data, cell.model): spec for cell, spec in content.specs.items()}
    nets = [f"{model} on {data}: {spec.model}" for (data, model), spec in specs.items()]
    return [
        ("data", ", ".join(request.data)),
        ("models", "; ".join(nets)),
        ("engines", ", ".join(request.engines)),
        ("workers", ", ".join(map(str, request.workers))),
        ("stores", ", ".join(request.stores)),
        ("images of each data set", "all" if request.images is None else f"{request.images:,} at most"),
        ("epochs of what trains by steps", str(request.epochs)),
        ("rounds", str(request.rounds)),
        ("seed of the order", str(request.seed)),
        *(("setting", pair) for pair in request.settings),
    ]
