"""The pictures of the report of reading, as SVG for its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pileus.bench.reading.analysis import Analysis, Measured, group_of
from pileus.bench.reading.regression import Estimate, Fit
from pileus.bench.reading.roofline import Bound, Part
from pileus.measure.figures import COLOURS, INK, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 40
"""Of a plot; the report's tables have all."""
_ROW_INCHES = 0.23
_MARKS: dict[Part, str] = {"store": "s", "decode": "^", "hand-over": "D"}


def all_plots(analysis: Analysis, measured: Sequence[Measured]) -> dict[str, str]:
    """By name; those are left out that have nothing to show. MissingExtra without matplotlib."""
    fits = [(cost.group.label, cost.fit) for cost in analysis.costs if isinstance(cost.fit, Fit)][:_MOST_ROWS]
    found = {}
    if measured:
        found["speed"] = speeds(measured)
    if analysis.bounds:
        found["roofline"] = roofline(largest(analysis.bounds))
    if fits:
        found["image"] = costs("image", "an image (ms)", [(label, fit.of("per image")) for label, fit in fits])
        found["batch"] = costs("batch", "a batch (ms)", [(label, fit.of("per batch")) for label, fit in fits])
        found["residuals"] = residuals([fit for _, fit in fits])
    if analysis.effects:
        found["effects"] = effects(analysis)
    return found


def costs(name: str, label: str, rows: Sequence[tuple[str, Estimate]]) -> str:
    """Milliseconds with intervals, a line a group."""

    def draw(axes: Axes) -> None:
        _intervals(axes, [(text, _scaled(estimate, 1e3)) for text, estimate in rows])
        axes.axvline(0, color=INK, linewidth=0.8, alpha=0.5)
        axes.set_xlabel(f"cost of {label}, 95 % CI")

    return drawn(name, f"Cost of {label} by group", draw, size=_size(len(rows)))


def effects(analysis: Analysis) -> str:
    """Speed at each level by that at the base level."""
    rows = [(f"{each.factor} {each.level} / {each.base}", each.ratio) for each in analysis.effects]

    def draw(axes: Axes) -> None:
        _intervals(axes, rows)
        _logarithmic(axes)
        axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.set_xlabel("ratio of images per second, 95 % CI")

    return drawn("effects", "Speed at each level against the base level", draw, size=_size(len(rows)))


def residuals(fits: Sequence[Fit]) -> str:
    """Of all groups: what the cost model leaves, against what it says."""

    def draw(axes: Axes) -> None:
        for place, fit in enumerate(fits):
            said, left = ([1e3 * value for value in values] for values in (fit.fitted, fit.residuals))
            axes.scatter(said, left, 14, color=COLOURS[place % len(COLOURS)], alpha=0.7)
        axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
        axes.set(xlabel="time by the model (ms)", ylabel="measured less model (ms)")

    return drawn("residuals", "Residuals of the cost model", draw, size=(5.6, 3.3))


def speeds(measured: Sequence[Measured]) -> str:
    """Every trial: images per second in the order of the groups, so that the spread is seen."""
    labels = list(dict.fromkeys(group_of(one.cell).label for one in sorted(measured, key=_group_text)))[:_MOST_ROWS]

    def draw(axes: Axes) -> None:
        sizes = sorted({one.cell.batch_size for one in measured})
        for place, size in enumerate(sizes):
            shown = [one for one in measured if one.cell.batch_size == size and group_of(one.cell).label in labels]
            rates = [one.outcome.images_per_s for one in shown]
            rows = [labels.index(group_of(one.cell).label) for one in shown]
            colour = COLOURS[place % len(COLOURS)]
            axes.scatter(rates, rows, 16, color=colour, alpha=0.7, label=f"batches of {size:,}")
        _name_rows(axes, labels)
        _logarithmic(axes)
        axes.set_xlabel("images per second, each trial")
        _legend_above(axes, len(sizes))

    return drawn("speed", "Images per second of each trial", draw, size=_size(len(labels), legend=True))


def roofline(bounds: Sequence[Bound]) -> str:
    """Each cell's speed and its three ceilings."""
    labels = [group_of(bound.cell).label for bound in bounds]

    def draw(axes: Axes) -> None:
        for row, bound in enumerate(bounds):
            axes.plot([bound.measured, bound.ceilings[bound.bound_by]], [row, row], color=INK, linewidth=0.8, alpha=0.4)
        for place, (part, mark) in enumerate(_MARKS.items()):
            rates = [bound.ceilings[part] for bound in bounds]
            axes.scatter(rates, range(len(bounds)), 26, marker=mark, color=COLOURS[place + 1], label=f"{part} alone")
        axes.scatter([b.measured for b in bounds], range(len(bounds)), 34, color=COLOURS[0], label="measured", zorder=3)
        _name_rows(axes, labels)
        _logarithmic(axes)
        axes.set_xlabel("images per second")
        _legend_above(axes, 4)

    return drawn("roofline", "Measured speed and its ceilings", draw, size=_size(len(bounds), legend=True))


def largest(bounds: Sequence[Bound]) -> list[Bound]:
    """Those of the largest batches and the most of them: the nearest to steady reading."""
    batch_size = max(bound.cell.batch_size for bound in bounds)
    batches = max(bound.cell.batches for bound in bounds)
    wanted = (batch_size, batches)
    return [bound for bound in bounds if (bound.cell.batch_size, bound.cell.batches) == wanted][:_MOST_ROWS]


def _group_text(one: Measured) -> str:
    return repr(group_of(one.cell))


def _intervals(axes: Axes, rows: Sequence[tuple[str, Estimate]]) -> None:
    for row, (_, estimate) in enumerate(rows):
        axes.plot([estimate.low, estimate.high], [row, row], color=COLOURS[0], linewidth=1.6)
        axes.plot([estimate.value], [row], color=COLOURS[0], marker="o", markersize=4.5)
    _name_rows(axes, [label for label, _ in rows])


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """From the top to the bottom."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def _logarithmic(axes: Axes) -> None:
    """After all is drawn: the fewer decades, the more ticks within them."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    digits = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if high < 1000 * low else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:,.10g}" for tick in shown])
    axes.set_xticks([], minor=True)


def _legend_above(axes: Axes, columns: int) -> None:
    axes.figure.legend(loc="outside upper center", ncols=min(columns, 4))


def _size(rows: int, *, legend: bool = False) -> tuple[float, float]:
    return 9.0, 0.9 + _ROW_INCHES * rows + (0.4 if legend else 0.0)


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        name=estimate.name, value=factor * estimate.value, low=factor * estimate.low, high=factor * estimate.high
    )
