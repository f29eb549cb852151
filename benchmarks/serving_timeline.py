"""What happened around each fault, as a page: latencies and failures by the second, and what the processes took."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from pileus.measure.figures import COLOURS, INK, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
_SIZE = 9.0, 3.2


def timelines_page(rows: dict[str, Row]) -> str:
    """One figure a fault, and of a soak its memory too; needs nothing else."""
    parts = []
    for name, row in rows.items():
        if not row.get("timeline"):
            continue
        parts.append(f"<h2>{html.escape(name)}</h2>\n<p>{html.escape(what_follows(row))}</p>\n{latencies(name, row)}")
        if name == "soak":
            parts.append(memory(name, row))
    return (
        '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        "<title>Serving through faults</title>\n<h1>Serving through faults</h1>\n"
        "<p>Latencies of good answers from the intended time, by time; bars are failed requests.</p>\n"
        + "\n".join(parts)
        + "\n</html>\n"
    )


def what_follows(row: Row) -> str:
    """In a sentence."""
    if row["wrong"] or row["not_its_own"]:
        return f"{row['wrong'] + row['not_its_own']:,} answers were wrong: this must not be."
    if not row["num_failed"]:
        return f"None of {row['sent']:,} requests failed, and every answer was the offline model's."
    causes = ", ".join(f"{count:,} by {cause}" for cause, count in row["failed"].items())
    return f"Of {row['sent']:,} requests some failed ({causes}); every answer was the offline model's."


def latencies(name: str, row: Row) -> str:
    def draw(axes: Axes) -> None:
        bins = row["timeline"]
        width = bins[1]["at_s"] - bins[0]["at_s"] if len(bins) > 1 else 1.0
        for place, quantile in enumerate(("p50_ms", "p99_ms", "max_ms")):
            seen = [each for each in bins if each[quantile] is not None]
            label = quantile.removesuffix("_ms")
            axes.plot([e["at_s"] for e in seen], [e[quantile] for e in seen], color=COLOURS[place], label=label)
        if "fault_at_s" in row:
            axes.axvspan(row["fault_at_s"], max(row["fault_ended_s"], row["fault_at_s"] + 0.02), color=INK, alpha=0.2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("seconds; grey: the fault")
        axes.set_ylabel("milliseconds")
        failed = axes.twinx()
        failed.bar(
            [each["at_s"] for each in bins], [each["failed"] for each in bins], width, color=COLOURS[4], alpha=0.4
        )
        failed.set_ylabel("failed")
        failed.grid(visible=False)
        axes.figure.legend(loc="outside upper center", ncols=3)

    return drawn(f"timeline-{name}", f"Latencies around {name}", draw, size=_SIZE)


def memory(name: str, row: Row) -> str:
    def draw(axes: Axes) -> None:
        samples = row["samples"]
        axes.plot([each["at"] for each in samples], [each["rss_bytes"] / 1e6 for each in samples], color=COLOURS[0])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("resident MB, all processes")

    return drawn(f"memory-{name}", "Resident memory", draw, size=_SIZE)
