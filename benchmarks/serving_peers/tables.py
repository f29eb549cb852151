"""What the rounds say: each server's best setting, the rate that it bears, and Pileus's rate as a multiple of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from serving_peers.settings import PILEUS

Rates = Mapping[str, Sequence[float]]
"""By server, the rate borne in each round."""


def ratios(rates: Rates, name: str) -> list[float]:
    """Pileus's by the server's, round by round; rounds in which the server bore nothing are left out."""
    return [ours / theirs for ours, theirs in zip(rates[PILEUS], rates[name], strict=True) if theirs]


def best_and_median(rates: Rates) -> tuple[float, float] | None:
    """Of the peers' medians."""
    medians = [statistics.median(found) for name, found in rates.items() if name != PILEUS]
    return (max(medians), statistics.median(medians)) if medians else None


def markdown(rates: Rates, settings: Mapping[str, Mapping[str, Any]], last: Mapping[str, Mapping[str, Any]]) -> str:
    """`last` is a row of the greatest rate that each bore."""
    lines = [
        "| server | borne, answers/s (min to max) | Pileus is faster by | p50 ms | p99 ms | server, cores | memory, MB "
        "| best setting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(rates, key=lambda name: -statistics.median(rates[name])):
        found, row = rates[name], last.get(name, {})
        latency = row.get("latency") or {}
        many = ratios(rates, name)
        ratio = f"{statistics.median(many):.2f}" if many else ""
        setting = ", ".join(f"{key} {value}" for key, value in settings[name].items())
        cores, rss = row.get("server_cores"), row.get("server_rss_bytes")
        lines.append(
            f"| {name} | {statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f}) | {ratio} "
            f"| {_told(latency.get('p50_ms'))} | {_told(latency.get('p99_ms'))} | {_told(cores)} "
            f"| {_told(rss and rss / 1e6)} | {setting} |"
        )
    return "\n".join(lines)


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
