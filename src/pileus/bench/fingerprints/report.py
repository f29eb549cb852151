"""The record of a study of fingerprints for a person: a page, a README, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.bench.fingerprints.table import LEGEND, SHOWN, Done, Figures, markdown, sentence
from pileus.bench.folder import finish
from pileus.measure.report import Tile, render_page, rows_of


def write_record(out: Path, figures: Figures, done: Sequence[Done], environment: Mapping[str, Any]) -> None:
    finish(out, report_page(figures, done, environment), readme(figures, done, environment), figures_document(figures))


def figures_document(figures: Figures) -> dict[str, Any]:
    """All that was found."""
    return {"finding": sentence(figures), "equal": figures.is_equal, **msgspec.to_builtins(figures)}


def read_figures(document: bytes) -> Figures:
    """From figures.json."""
    found = msgspec.json.decode(document, type=dict[str, Any])
    return msgspec.convert({name: found[name] for name in Figures.__struct_fields__}, Figures)


def caveats(figures: Figures) -> list[str]:
    """What a reader must know; none where all went as it should."""
    said = [f"Left out: {each.engine}: {each.reason}" for each in figures.left_out]
    if len(figures.rows) == 1:
        said.append("One engine alone was tried: that others agree is not shown.")
    return said


def report_page(figures: Figures, done: Sequence[Done], environment: Mapping[str, Any]) -> str:
    """MissingExtra without jinja2."""
    accuracy = "" if figures.accuracy is None else f"{100 * figures.accuracy:.2f} % of the test part"
    ended = figures.trials - len(figures.failed)
    return render_page(
        "fingerprints.html",
        package="pileus.bench.fingerprints",
        source=figures.request.recipe,
        facts={
            "trainings": str(figures.trials),
            "fingerprint": figures.fingerprint,
            "processor": str(environment["processor"]),
        },
        tiles=[Tile("The same weights", f"{ended - len(figures.differing)} of {figures.trials}", accuracy)],
        findings=[sentence(figures)],
        caveats=caveats(figures),
        figures=figures,
        shown=SHOWN,
        legend=LEGEND,
        failed=[each for each in done if each.outcome is None],
        command=figures.request.command("OUT"),
        environment=rows_of(environment),
    )


def readme(figures: Figures, done: Sequence[Done], environment: Mapping[str, Any]) -> str:
    known = "".join(f"- {each}\n" for each in caveats(figures))
    failed = "".join(f"- {each.trial.label}: {each.error}\n" for each in done if each.outcome is None)
    versions = environment.get("versions", {})
    return (
        f"# Fingerprints of {figures.request.recipe}\n\n{sentence(figures)}\n\n{markdown(figures)}\n{LEGEND}\n\n"
        + (f"To be known:\n\n{known}\n" if known else "")
        + (f"Failed:\n\n{failed}\n" if failed else "")
        + f"    {figures.request.command('OUT')}\n\n"
        f"{environment['processor']}, {environment['cores']['affinity']} cores"
        f"{', torch ' + str(versions['torch']) if 'torch' in versions else ''}. `results.jsonl` has a line a training, "
        "`trials.json` the design, `environment.json` the machine.\n"
    )
