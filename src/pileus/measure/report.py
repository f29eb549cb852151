"""One page that shows a run or a measurement: a file that needs nothing else, to keep, print or send.

It runs no script and loads nothing (its own policy forbids both); every name and text is escaped. Equal content
gives equal bytes.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jinja2
import msgspec
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from pileus.measure import figures
from pileus.measure.classification import Classification, most_confused, shortened
from pileus.measure.usage import totals, usage_figures
from pileus.measure.worst import WorstError, worst_errors
from pileus.spec.job import EpochDone
from pileus.spec.run import RunSpec
from pileus.spec.usage import Use
from pileus.spec.values import leaves

__all__ = ["ReportContent", "WorstError", "data_uri", "render_report", "render_usage", "worst_errors"]

_MOST_CLASSES_SHOWN = 30
"""With more classes the table shows the weakest, and all of them folded away."""
_STALENESS = "staleness_"
_PICTURE_SIDE = 128
"""Pixels; larger pictures are made smaller."""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What a report is made of; what is empty or None is left out."""

    run_name: str
    spec: RunSpec | None = None
    epochs: Sequence[EpochDone] = ()
    """In order, each epoch once."""
    test: Classification | None = None
    accuracy_by_k: Sequence[float] = ()
    """On the validation part, of 1, 2, ... neighbours."""
    worst: Sequence[WorstError] = ()
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the whole run by phase: records, start-up, training, packing."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Nested as it comes from JSON."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """More to be told at the head, by name."""
    story: Sequence[str] = ()
    """What happened out of the ordinary: restarts, losses, a resume."""
    next_steps: Sequence[str] = ()
    """Commands."""
    use: Use = field(default_factory=Use)
    """What workers and hosts used."""


class Tile(NamedTuple):
    """One key figure."""

    title: str
    value: str
    note: str = ""


class Cost(NamedTuple):
    """One phase."""

    phase: str
    seconds: float
    share: float
    """Of the sum of its table."""


class Portrait(NamedTuple):
    """One worst error as the page shows it."""

    source: str
    """Data URI of a PNG."""
    small: bool
    """Few pixels: to be shown enlarged as they are."""
    error: WorstError


def render_report(content: ReportContent) -> str:
    """The page. MissingExtra without matplotlib."""
    test = content.test
    return render_page(
        "report.html",
        content=content,
        tiles=_tiles(content),
        facts=_facts(content),
        figures=_figures(content),
        classes=_shown_classes(test) if test else (),
        confused=most_confused(test) if test else (),
        portraits=[_portrait(error) for error in content.worst],
        run_costs=_costs(content.phases_s),
        epoch_costs=_costs(_epoch_phases(content.epochs)),
        agreement=_agreement(content.epochs),
        settings=rows_of(msgspec.to_builtins(content.spec)) if content.spec else (),
        environment=rows_of(content.environment),
        use_figures=_use_figures(content.use),
        use_totals=totals(content.use),
    )


def render_usage(name: str, use: Use, facts: Mapping[str, str]) -> str | None:
    """A page of what was used alone; None where nobody looked twice. MissingExtra without matplotlib."""
    drawn = _use_figures(use)
    if not drawn:
        return None
    told = totals(use)
    return render_page("usage.html", name=name, facts=facts, tiles=(), use_figures=drawn, use_totals=told)


def render_page(template: str, *, package: str = "pileus.measure", **values: object) -> str:
    """A template of the folder `templates` of a package, by which it may include what pages share: `report.css`."""
    return _templates(package).get_template(template).render(values)


@functools.cache
def _templates(package: str) -> jinja2.Environment:
    """Those of a package, each compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("pileus.measure")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "seconds": _seconds,
        "thousands": _thousands,
        "shortened": shortened,
        "megabytes": _megabytes,
    }
    return environment


def _tiles(content: ReportContent) -> list[Tile]:
    tiles = []
    if test := content.test:
        low, high = test.accuracy_interval
        tiles.append(Tile("Accuracy", _percent(test.accuracy), f"{100 * low:.2f} to {_percent(high)} (95 % interval)"))
        wrong = test.num_samples - sum(row[k] for k, row in enumerate(test.confusion_KK))
        tiles.append(Tile("Errors", _thousands(wrong), f"of {_thousands(test.num_samples)} samples"))
        tiles.append(Tile("Calibration error", _percent(test.ece), "of confidence against accuracy"))
    if content.epochs:
        training_s, last = sum(epoch.seconds for epoch in content.epochs), content.epochs[-1]
        tiles.append(Tile("Epochs", str(len(content.epochs)), f"{_thousands(last.step)} steps"))
        tiles.append(Tile("Training", _seconds(training_s), f"{_thousands(last.samples)} samples"))
        if training_s > 0:
            tiles.append(Tile("Speed", _thousands(round(last.samples / training_s)), "samples a second"))
        if spec := content.spec:
            tiles.append(Tile("Workers", str(spec.workers), f"engine {spec.engine.name}"))
    return tiles


def _facts(content: ReportContent) -> dict[str, str]:
    found: dict[str, str] = {}
    if spec := content.spec:
        strategy = msgspec.to_builtins(spec.strategy)
        found |= {
            "model": spec.model,
            "data": spec.data.source,
            "engine": spec.engine.name,
            "workers": str(spec.workers),
            "strategy": ", ".join(str(value) for value in strategy.values()),
        }
    if content.epochs:
        found["fingerprint"] = content.epochs[-1].fingerprint
    return found | dict(content.facts)


def _figures(content: ReportContent) -> dict[str, Markup]:
    """matplotlib escapes what it writes, so its SVG is set in as it is."""
    drawn: dict[str, str] = {}
    epochs, test = content.epochs, content.test
    if epochs:
        drawn["loss"] = figures.loss_curve(epochs, test)
        drawn["accuracy"] = figures.accuracy_curve(epochs, test)
        drawn["lr"] = figures.lr_curve(epochs)
        if any(epoch.phases_s for epoch in epochs):
            drawn["phases"] = figures.phase_bars(epochs)
    if content.accuracy_by_k:
        drawn["neighbours"] = figures.neighbours_curve(content.accuracy_by_k)
    if test:
        drawn["confusion"] = figures.confusion_matrix(test)
        drawn["reliability"] = figures.reliability_diagram(test)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _use_figures(use: Use) -> dict[str, Markup]:
    return {name: Markup(svg) for name, svg in usage_figures(use).items()}


def _shown_classes(test: Classification) -> list[Any]:
    if len(test.per_class) <= _MOST_CLASSES_SHOWN:
        return list(test.per_class)
    met = [one for one in test.per_class if one.support]
    return sorted(met, key=lambda one: (one.f1, -one.support))[:_MOST_CLASSES_SHOWN]


def _portrait(error: WorstError) -> Portrait:
    return Portrait(data_uri(error.image_HWC), max(error.image_HWC.shape[:2]) <= _PICTURE_SIDE // 2, error)


def data_uri(image_HWC: NDArray[np.uint8]) -> str:
    """Of a PNG of it, made smaller where it is large."""
    picture = Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC)
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _epoch_phases(epochs: Sequence[EpochDone]) -> dict[str, float]:
    """Seconds over all epochs by phase; what no phase accounts for is 'other'."""
    total: dict[str, float] = {}
    for epoch in epochs:
        for phase, seconds in epoch.phases_s.items():
            total[phase] = total.get(phase, 0.0) + seconds
    other = sum(epoch.seconds for epoch in epochs) - sum(total.values())
    return total | {"other": other} if total and other > 0 else total


def _agreement(epochs: Sequence[EpochDone]) -> list[tuple[str, str]]:
    """What agreeing with servers took in the last epoch, and the pushes of all epochs by staleness."""
    figures = [epoch.agreement for epoch in epochs if epoch.agreement]
    if not figures:
        return []
    last = figures[-1]
    rows = [("Bytes a step, worker 0", _thousands(round(last["bytes_per_step"])))]
    rows.append(("Messages a step, worker 0", f"{last['messages_per_step']:g}"))
    pushes: dict[int, float] = {}
    for each in figures:
        for name, count in each.items():
            if name.startswith(_STALENESS):
                staleness = int(name.removeprefix(_STALENESS))
                pushes[staleness] = pushes.get(staleness, 0.0) + count
    total = sum(pushes.values())
    return rows + [
        (f"Pushes {staleness} stale", f"{_thousands(round(count))} ({_percent(count / total)})")
        for staleness, count in sorted(pushes.items())
    ]


def _costs(phases_s: Mapping[str, float]) -> list[Cost]:
    total = sum(phases_s.values())
    return [Cost(phase, seconds, seconds / total if total > 0 else 0.0) for phase, seconds in phases_s.items()]


def rows_of(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Leaves of a nested mapping as ('a.b', text)."""
    return [(name, _text(value)) for name, value in leaves(tree).items()]


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(item)}" for name, item in value.items())
    return "none" if value is None else str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}\N{NO-BREAK SPACE}%"


def _thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _megabytes(size_bytes: int | None) -> str:
    return "not told" if size_bytes is None else f"{size_bytes / 1e6:.1f}\N{NO-BREAK SPACE}MB"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
