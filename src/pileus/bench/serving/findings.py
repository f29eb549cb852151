"""The figures of a study in words: those that tell most, and what is to be known before they are trusted."""

from __future__ import annotations

from pileus.bench.serving.analysis import BOUND_MS, Analysis, Figures
from pileus.bench.serving.design import Crowd, Stream
from pileus.bench.spread import Spread

_WIDE = 0.2
"""Of the median goodput: between the rounds, from where on a machine counts as busy."""


def findings(analysis: Analysis) -> list[str]:
    """Sentences; fewer where the design does not tell."""
    said = []
    for each in analysis.bearings:
        said.append(f"{each.body}: at most {each.peak:,.0f} good answers a second on this machine.")
        if each.borne_per_s is not None:
            said.append(
                f"{each.body}: {each.borne_per_s:,.0f} requests a second are borne with p99 below {BOUND_MS:g} ms and "
                "as good as none failed; plan for two thirds of it."
            )
        if each.overload is not None:
            said.append(
                f"{each.body}: at the greatest rate asked, goodput is {100 * each.overload:.0f} % of the peak: "
                + ("overload costs those who are refused alone." if each.overload >= 0.9 else "overload costs all.")
            )
    crowds = [each for each in analysis.figures if isinstance(each.cell.level, Crowd)]
    most = max(crowds, key=lambda each: (_users(each), _pause(each)), default=None)
    if most is not None and most.p99_ms is not None:
        said.append(
            f"{most.cell.label}: p99 {told(most.p99_ms, 1)} ms, {most.num_failed:,} of {most.sent:,} requests failed."
        )
    if analysis.requests:
        said.append(
            f"{analysis.wrong:,} of {analysis.requests:,} requests were answered other than by the offline model."
        )
    return said


def caveats(analysis: Analysis, cores: int) -> list[str]:
    """What a reader of the report must know; none where all went as it should."""
    said = [f"The sender runs on the same {cores} cores: what it takes, in the tables, the server does not have."]
    if analysis.failed:
        said.append(f"{analysis.failed} of {analysis.trials} trials failed; their lines of results.jsonl say why.")
    behind = [each for each in analysis.figures if not each.kept_up]
    if behind:
        said.append(
            f"In {len(behind)} of {len(analysis.figures)} cells the sender itself did not keep up (marked in the "
            "tables): their latencies are partly its own."
        )
    wide = [each for each in analysis.figures if _is_wide(each)]
    if wide:
        said.append(
            f"Of {len(wide)} cells the rounds differ by more than {100 * _WIDE:.0f} %: the machine did other work, or "
            "--seconds is too short."
        )
    if any(each.goodput.runs < 3 for each in analysis.figures if isinstance(each.cell.level, Crowd | Stream)):
        said.append("Fewer than three rounds tell no spread; say --rounds 3.")
    return said


def told(spread: Spread | None, digits: int = 0) -> str:
    """The median, and in brackets the least and the greatest where there are more than one."""
    if spread is None:
        return ""
    if spread.runs == 1:
        return f"{spread.median:,.{digits}f}"
    return f"{spread.median:,.{digits}f} ({spread.min:,.{digits}f} to {spread.max:,.{digits}f})"


def failures_told(figures: Figures) -> str:
    return ", ".join(f"{cause}: {count:,}" for cause, count in figures.failed.items()) or "none"


def _users(figures: Figures) -> int:
    return figures.cell.level.users if isinstance(figures.cell.level, Crowd) else 0


def _pause(figures: Figures) -> float:
    return figures.cell.level.think_s if isinstance(figures.cell.level, Crowd) else 0.0


def _is_wide(figures: Figures) -> bool:
    goodput = figures.goodput
    return goodput.max - goodput.min > _WIDE * goodput.median
