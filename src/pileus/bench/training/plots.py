"""The pictures of the report of training, as SVG for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pileus.bench.training.analysis import Analysis, Figures, Rates
from pileus.bench.training.design import Contender
from pileus.bench.training.results import Done
from pileus.measure.figures import COLOURS, INK, draw_medians, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 40
"""Of a plot; the report's table has all."""
_ROW_INCHES = 0.27
_PHASES = ("compute", "exchange", "optimizer", "data", "checkpoint", "other")


def all_plots(analysis: Analysis, done: Sequence[Done]) -> dict[str, str]:
    """By name; those are left out that have nothing to show. MissingExtra without matplotlib."""
    found = {}
    shown = analysis.figures[:_MOST_ROWS]
    if shown:
        found["speed"] = speeds([each.contender for each in shown], rates_of(done))
        found["phases"] = phases(shown)
    if any(each.contender.workers > 1 and each.speedup is not None for each in shown):
        found["scaling"] = scaling(analysis.figures)
    return found


def rates_of(done: Sequence[Done]) -> dict[Contender, Rates]:
    rates: dict[Contender, dict[int, float]] = {}
    for each in done:
        if each.outcome is not None:
            rates.setdefault(each.trial.contender, {})[each.trial.round] = each.outcome.samples_per_s
    return dict(rates)


def speeds(contenders: Sequence[Contender], rates: dict[Contender, Rates]) -> str:
    """Every trial, so that the spread is seen."""

    def draw(axes: Axes) -> None:
        for row, contender in enumerate(contenders):
            values = list(rates[contender].values())
            colour = COLOURS[(contender.workers - 1) % len(COLOURS)]
            axes.plot([min(values), max(values)], [row, row], color=colour, linewidth=1.2, alpha=0.5)
            axes.scatter(values, [row] * len(values), 18, color=colour, alpha=0.75)
        _name_rows(axes, contenders)
        axes.set_xlim(left=0)
        axes.set_xlabel("samples a second, each trial")

    return drawn("speed", "Samples a second of each trial", draw, size=_size(len(contenders)))


def phases(figures: Sequence[Figures]) -> str:
    """Where a step's time goes."""

    def draw(axes: Axes) -> None:
        left = [0.0] * len(figures)
        for place, phase in enumerate(_PHASES):
            widths = [each.phases_ms.get(phase, 0.0) for each in figures]
            axes.barh(range(len(figures)), widths, 0.62, left=left, color=COLOURS[place], label=phase)
            left = [at + width for at, width in zip(left, widths, strict=True)]
        _name_rows(axes, [each.contender for each in figures])
        axes.set_xlabel("milliseconds of a step on rank 0, medians")
        axes.figure.legend(loc="outside upper center", ncols=len(_PHASES))

    return drawn("phases", "Milliseconds of a step by phase", draw, size=_size(len(figures), legend=True))


def scaling(figures: Sequence[Figures]) -> str:
    """Speed against one worker, on the number of workers."""
    lines: dict[tuple[str, str], list[Figures]] = {}
    for each in figures:
        if each.speedup is not None:
            lines.setdefault((each.contender.model, each.contender.strategy), []).append(each)

    def draw(axes: Axes) -> None:
        most = max(each.contender.workers for each in figures)
        axes.plot([1, most], [1, most], color=INK, linewidth=0.8, alpha=0.5, linestyle="--", label="as many times")
        for place, ((model, strategy), mine) in enumerate(lines.items()):
            spreads = [each.speedup for each in mine if each.speedup is not None]
            workers = [each.contender.workers for each in mine]
            draw_medians(axes, workers, spreads, COLOURS[place % len(COLOURS)], f"{model}, {strategy}")
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        axes.set_xlabel("workers")
        axes.set_ylabel("speed against one worker")
        axes.figure.legend(loc="outside right upper")

    return drawn("scaling", "Speed against one worker on the number of workers", draw, size=(8.0, 3.6))


def _name_rows(axes: Axes, contenders: Sequence[Contender]) -> None:
    """From the top to the bottom."""
    axes.set_yticks(range(len(contenders)), [contender.label for contender in contenders])
    axes.set_ylim(len(contenders) - 0.5, -0.5)


def _size(rows: int, *, legend: bool = False) -> tuple[float, float]:
    return 9.0, 0.9 + _ROW_INCHES * rows + (0.4 if legend else 0.0)
