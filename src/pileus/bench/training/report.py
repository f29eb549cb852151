"""The record of a study for a person: one page that needs nothing else, a README, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pileus.bench.folder import finish
from pileus.bench.training.analysis import Analysis
from pileus.bench.training.design import Contender, Request
from pileus.bench.training.findings import bytes_told, caveats, findings, rate_told, ratio_told
from pileus.bench.training.plots import all_plots
from pileus.bench.training.results import Done
from pileus.measure.report import Tile, render_page, rows_of
from pileus.spec.run import RunSpec


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """What a record is made of."""

    request: Request
    """Without paths of this machine."""
    specs: Mapping[Contender, RunSpec]
    analysis: Analysis
    done: Sequence[Done]
    cores: int
    """Of each worker."""
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


def report_page(content: StudyContent) -> str:
    """MissingExtra without jinja2 or matplotlib."""
    request, analysis = content.request, content.analysis
    return render_page(
        "training.html",
        package="pileus.bench.training",
        source=request.source,
        facts={
            "trials": f"{analysis.trials:,}",
            "samples counted": f"{analysis.samples:,}",
            "processor": str(content.environment["processor"]),
            "cores": str(content.environment["cores"]["affinity"]),
        },
        tiles=_tiles(analysis),
        findings=findings(analysis),
        caveats=content.caveats,
        asked=_asked(content),
        request=request,
        cores=content.cores,
        analysis=analysis,
        plots=all_plots(analysis, content.done),
        failed=[each for each in content.done if each.outcome is None],
        command=request.command("OUT"),
        environment=rows_of(content.environment),
        rate=rate_told,
        ratio=ratio_told,
        size=bytes_told,
    )


def readme(content: StudyContent) -> str:
    said = "".join(f"- {sentence}\n" for sentence in findings(content.analysis))
    known = "".join(f"- {sentence}\n" for sentence in content.caveats)
    rows = "".join(
        f"| {each.contender.label} | {rate_told(each.samples_per_s)} | {ratio_told(each.speedup)} "
        f"| {each.step_ms:.2f} | {bytes_told(each.network_bytes)} |\n"
        for each in content.analysis.figures
    )
    machine = content.environment
    return (
        f"# Training on {content.request.source}\n\n{said or '- No trial told anything.'}\n"
        "| contender | samples/s | against one worker | ms a step | bytes a worker and step |\n|---|---|---|---|---|\n"
        f"{rows}\nMedians, in brackets the slowest and the fastest round.\n\n"
        + (f"To be known:\n\n{known}\n" if known else "")
        + f"    {content.request.command('OUT')}\n\n"
        f"{machine['processor']}, {machine['cores']['affinity']} cores. `report.html` tells all of it; `results.jsonl` "
        "has a line a trial, `trials.json` the design, `figures.json` the figures, `environment.json` the machine.\n"
    )


def _tiles(analysis: Analysis) -> list[Tile]:
    tiles = []
    if analysis.figures:
        best = max(analysis.figures, key=lambda each: each.samples_per_s.median)
        tiles.append(Tile("Fastest, samples/s", f"{best.samples_per_s.median:,.0f}", best.contender.label))
    for each in analysis.exactness[:3]:
        note = f"{each.model}, {each.workers} workers; {each.ratio.min:.2f} to {each.ratio.max:.2f}"
        tiles.append(Tile("Exact / fast", f"{each.ratio.median:.2f} x", note))
    if analysis.failed:
        tiles.append(Tile("Failed trials", str(analysis.failed), f"of {analysis.trials}"))
    return tiles


def _asked(content: StudyContent) -> list[tuple[str, str]]:
    request = content.request
    specs = {contender.model: spec for contender, spec in content.specs.items()}
    batches = [
        f"{model}: {spec.model}, batches of {spec.batch_size:,} in microbatches of {spec.microbatch_size:,}"
        for model, spec in specs.items()
    ]
    return [
        ("models", "; ".join(batches)),
        ("strategies", ", ".join(request.strategies)),
        ("workers", ", ".join(map(str, request.workers))),
        ("engine", request.engine),
        ("cores of each worker", str(content.cores)),
        ("batches of an epoch", f"{request.steps:,}"),
        ("seconds counted in a trial, at least", f"{request.seconds:g}"),
        ("rounds", str(request.rounds)),
        *(("setting", pair) for pair in request.settings),
    ]
