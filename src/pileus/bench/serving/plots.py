"""The pictures of the report of serving, as SVG for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pileus.bench.serving.analysis import BOUND_MS, Analysis, Figures
from pileus.bench.serving.bodies import Kind
from pileus.bench.serving.design import Crowd, Stream
from pileus.measure.figures import COLOURS, INK, draw_medians, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 8.0, 3.6


def all_plots(analysis: Analysis) -> dict[str, str]:
    """By name; those are left out that have nothing to show. MissingExtra without matplotlib."""
    streams = [each for each in analysis.figures if isinstance(each.cell.level, Stream)]
    crowds = [each for each in analysis.figures if isinstance(each.cell.level, Crowd) and each.p99_ms is not None]
    found = {}
    for body in dict.fromkeys(each.cell.body for each in streams):
        mine = [each for each in streams if each.cell.body == body and each.p99_ms is not None]
        if mine:
            found[f"latency-{body}"] = latencies(body, mine)
    if streams:
        found["goodput"] = goodputs(streams)
    if crowds:
        found["crowds"] = of_crowds(crowds)
    return found


def latencies(body: Kind, figures: Sequence[Figures]) -> str:
    """Quantiles on the rate that was asked."""

    def draw(axes: Axes) -> None:
        rates = [each.asked_per_s or 0.0 for each in figures]
        quantiles = {
            "p50": [each.p50_ms for each in figures],
            "p99": [each.p99_ms for each in figures],
            "p99.9": [each.p999_ms for each in figures],
        }
        for place, (name, spreads) in enumerate(quantiles.items()):
            draw_medians(axes, rates, [spread for spread in spreads if spread is not None], COLOURS[place], name)
        axes.axhline(BOUND_MS, color=INK, linewidth=0.8, alpha=0.5, linestyle="--")
        _log_ms(axes)
        axes.set_xlim(left=0)
        axes.set_xlabel("requests asked a second")
        axes.figure.legend(loc="outside right upper")

    return drawn(f"latency-{body}", f"Latency of {body} on the rate of requests", draw, size=_SIZE)


def goodputs(figures: Sequence[Figures]) -> str:
    """Good answers a second on requests asked a second."""

    def draw(axes: Axes) -> None:
        most = max(each.goodput.max for each in figures)
        axes.plot([0, most], [0, most], color=INK, linewidth=0.8, alpha=0.5, linestyle="--", label="as asked")
        for place, body in enumerate(dict.fromkeys(each.cell.body for each in figures)):
            mine = [each for each in figures if each.cell.body == body]
            rates = [each.asked_per_s or 0.0 for each in mine]
            draw_medians(axes, rates, [each.goodput for each in mine], COLOURS[place], body)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("requests asked a second")
        axes.set_ylabel("good answers a second")
        axes.figure.legend(loc="outside right upper")

    return drawn("goodput", "Good answers a second on requests asked a second", draw, size=_SIZE)


def of_crowds(figures: Sequence[Figures]) -> str:
    """p50 and p99 on the number of users."""

    def draw(axes: Axes) -> None:
        lines: dict[str, list[tuple[int, Figures]]] = {}
        for each in figures:
            if isinstance(level := each.cell.level, Crowd):
                pause = f"pause {level.think_s:g} s" if level.think_s else "no pause"
                lines.setdefault(f"{each.cell.body}, {pause}", []).append((level.users, each))
        for place, (name, mine) in enumerate(lines.items()):
            colour, users = COLOURS[place % len(COLOURS)], [float(count) for count, _ in mine]
            spreads = [each.p99_ms for _, each in mine if each.p99_ms is not None]
            draw_medians(axes, users, spreads, colour, f"{name}: p99")
            medians = [each.p50_ms.median for _, each in mine if each.p50_ms is not None]
            axes.plot(users, medians, color=colour, linestyle=":", alpha=0.8, label=f"{name}: p50")
        _log_ms(axes)
        counts = sorted({count for mine in lines.values() for count, _ in mine})
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("users")
        axes.figure.legend(loc="outside right upper")

    return drawn("crowds", "Latency on the number of users", draw, size=(8.0, 4.2))


def _log_ms(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_ylabel("milliseconds")
