"""The record of a study for a person: one page that needs nothing else, a README, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pileus.bench.folder import finish
from pileus.bench.serving.analysis import BOUND_MS, Analysis, Figures
from pileus.bench.serving.design import WARM_S, Crowd, Request
from pileus.bench.serving.findings import caveats, failures_told, findings, told
from pileus.bench.serving.load import SATURATING
from pileus.bench.serving.plots import all_plots
from pileus.bench.serving.trial import Done
from pileus.measure.report import Tile, render_page, rows_of


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """What a record is made of."""

    request: Request
    """Without paths of this machine."""
    model: str
    """Name and version."""
    analysis: Analysis
    done: Sequence[Done]
    environment: Mapping[str, Any]

    @property
    def caveats(self) -> list[str]:
        return caveats(self.analysis, int(self.environment["cores"]["affinity"]))


def write_record(out: Path, content: StudyContent) -> None:
    finish(out, report_page(content), readme(content), figures_document(content))


def figures_document(content: StudyContent) -> dict[str, Any]:
    """All that was found."""
    document: dict[str, Any] = msgspec.to_builtins(content.analysis)
    return {"model": content.model, "findings": findings(content.analysis), "caveats": content.caveats, **document}


def report_page(content: StudyContent) -> str:
    """MissingExtra without jinja2 or matplotlib."""
    analysis = content.analysis
    is_crowd = [isinstance(each.cell.level, Crowd) for each in analysis.figures]
    return render_page(
        "serving.html",
        package="pileus.bench.serving",
        source=content.model,
        facts={
            "trials": f"{analysis.trials:,}",
            "requests counted": f"{analysis.requests:,}",
            "processor": str(content.environment["processor"]),
            "cores": str(content.environment["cores"]["affinity"]),
        },
        tiles=_tiles(analysis),
        findings=findings(analysis),
        caveats=content.caveats,
        asked=_asked(content),
        tables={
            "Users": [each for each, crowd in zip(analysis.figures, is_crowd, strict=True) if crowd],
            "Rates": [each for each, crowd in zip(analysis.figures, is_crowd, strict=True) if not crowd],
        },
        analysis=analysis,
        plots=all_plots(analysis),
        failed=[each for each in content.done if each.outcome is None],
        command=content.request.command("OUT"),
        environment=rows_of(content.environment),
        seconds=content.request.seconds,
        warm_s=WARM_S,
        saturating_users=SATURATING.users,
        told=told,
        failures=failures_told,
    )


def readme(content: StudyContent) -> str:
    said = "".join(f"- {sentence}\n" for sentence in findings(content.analysis))
    known = "".join(f"- {sentence}\n" for sentence in content.caveats)
    rows = "".join(_row(each) for each in content.analysis.figures)
    machine = content.environment
    return (
        f"# Serving {content.model}\n\n{said or '- No trial told anything.'}\n"
        "| load | asked/s | good answers/s | p50 ms | p99 ms | p99.9 ms | failed |\n|---|---|---|---|---|---|---|\n"
        f"{rows}\nMedians, in brackets the least and the greatest round; failed of all rounds.\n\n"
        f"To be known:\n\n{known}\n"
        f"    {content.request.command('OUT')}\n\n"
        f"{machine['processor']}, {machine['cores']['affinity']} cores. `report.html` tells all of it; `results.jsonl` "
        "has a line a trial, `trials.json` the design, `figures.json` the figures, `environment.json` the machine.\n"
    )


def _row(each: Figures) -> str:
    asked = "" if each.asked_per_s is None else f"{each.asked_per_s:,.0f}"
    quantiles = " | ".join(told(spread, 1) for spread in (each.p50_ms, each.p99_ms, each.p999_ms))
    return f"| {each.cell.label} | {asked} | {told(each.goodput)} | {quantiles} | {failures_told(each)} |\n"


def _tiles(analysis: Analysis) -> list[Tile]:
    tiles = []
    for each in analysis.bearings:
        borne = "none" if each.borne_per_s is None else f"{each.borne_per_s:,.0f}/s"
        tiles.append(Tile(f"Borne, {each.body}", borne, f"p99 below {BOUND_MS:g} ms; peak {each.peak:,.0f}/s"))
    if analysis.ready_s is not None:
        tiles.append(Tile("Start to ready", f"{analysis.ready_s.median:.1f} s", "processes, model, warm-up"))
    tiles.append(Tile("Wrong answers", f"{analysis.wrong:,}", f"of {analysis.requests:,} requests"))
    if analysis.failed:
        tiles.append(Tile("Failed trials", str(analysis.failed), f"of {analysis.trials}"))
    return tiles


def _asked(content: StudyContent) -> list[tuple[str, str]]:
    request = content.request
    return [
        ("model", content.model),
        ("bodies", ", ".join(request.bodies)),
        ("pictures of", request.data or "the embedded drawings"),
        ("users", ", ".join(f"{users:,}" for users in request.users) or "none"),
        ("pauses, s", ", ".join(f"{pause:g}" for pause in request.think_s) or "none"),
        ("rates, by saturation", ", ".join(f"{share:g}" for share in request.shares) or "none"),
        ("processes", str(request.processes or "as pileus serve chooses")),
        ("seconds counted in a trial", f"{request.seconds:g}"),
        ("rounds", str(request.rounds)),
    ]
