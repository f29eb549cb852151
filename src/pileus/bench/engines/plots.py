"""The pictures of the report of engines, as SVG for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pileus.bench.engines.analysis import Analysis, Figures, Model
from pileus.measure.figures import COLOURS, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 48
"""Of a plot; the report's table has all."""
_ROW_INCHES = 0.27


def all_plots(analysis: Analysis) -> dict[str, str]:
    """By name; those are left out that have nothing to show. MissingExtra without matplotlib."""
    found = {}
    shown = analysis.figures[:_MOST_ROWS]
    if shown:
        found["times"] = times(shown)
        found["memory"] = memory(shown)
    if by_k := [model for model in analysis.models if model.accuracy_by_k]:
        found["neighbours"] = neighbours(by_k)
    return found


def times(figures: Sequence[Figures]) -> str:
    """Start-up, work, and the rest of each cell."""

    def draw(axes: Axes) -> None:
        rows = range(len(figures))
        start_N, work_N = [each.start_s.median for each in figures], [each.work_s.median for each in figures]
        before_N = [start + work for start, work in zip(start_N, work_N, strict=True)]
        rest_N = [max(0.0, each.total_s.median - before) for each, before in zip(figures, before_N, strict=True)]
        axes.barh(rows, start_N, 0.62, color=COLOURS[1], label="start-up")
        axes.barh(rows, work_N, 0.62, left=start_N, color=COLOURS[0], label="work")
        axes.barh(rows, rest_N, 0.62, left=before_N, color=COLOURS[5], label="bundle, report, closing")
        _name_rows(axes, figures)
        axes.set_xlabel("seconds from a cold process, medians")
        axes.figure.legend(loc="outside upper center", ncols=3)

    return drawn("times", "Seconds of each cell by part", draw, size=_size(len(figures)))


def memory(figures: Sequence[Figures]) -> str:
    def draw(axes: Axes) -> None:
        axes.barh(range(len(figures)), [each.peak_bytes / 1e9 for each in figures], 0.62, color=COLOURS[2])
        _name_rows(axes, figures)
        axes.set_xlabel("GB, the most that all processes of a run held")

    return drawn("memory", "Memory of each cell", draw, size=_size(len(figures)))


def neighbours(models: Sequence[Model]) -> str:
    """Accuracy by k."""

    def draw(axes: Axes) -> None:
        for place, model in enumerate(models):
            values = [100 * accuracy for accuracy in model.accuracy_by_k]
            label, colour = f"{model.model} on {model.data}", COLOURS[place % len(COLOURS)]
            axes.plot(range(1, len(values) + 1), values, "o-", color=colour, label=label)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("neighbours that vote")
        axes.set_ylabel("% right, validation part")
        axes.figure.legend(loc="outside upper center", ncols=3)

    return drawn("neighbours", "Accuracy by the number of neighbours", draw, size=(8.0, 3.4))


def _name_rows(axes: Axes, figures: Sequence[Figures]) -> None:
    """From the top to the bottom."""
    axes.set_yticks(range(len(figures)), [each.cell.label for each in figures])
    axes.set_ylim(len(figures) - 0.5, -0.5)


def _size(rows: int) -> tuple[float, float]:
    return 9.0, 1.3 + _ROW_INCHES * rows
