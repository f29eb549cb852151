"""The figures of a study in words: those that tell most, and what is to be known before they are trusted."""

from __future__ import annotations

from pileus.bench.spread import Spread
from pileus.bench.training.analysis import EXACT, Analysis, Figures
from pileus.bench.training.design import Request

_WIDE = 0.2
"""Of the median: between the slowest and the fastest round, from where on a machine counts as busy."""

_STRAY_BYTES = 4096
"""A worker and step, where nothing need be sent."""


def findings(analysis: Analysis) -> list[str]:
    """Sentences; fewer where the design does not tell."""
    said = []
    for model in dict.fromkeys(each.contender.model for each in analysis.figures):
        mine = [each for each in analysis.figures if each.contender.model == model]
        best = max(mine, key=lambda each: each.samples_per_s.median)
        said.append(f"Fastest of {model}: {best.contender.label}, {rate_told(best.samples_per_s)} samples a second.")
        exact = max((each for each in mine if each.contender.strategy == EXACT), key=_workers, default=None)
        if exact is not None and exact.speedup is not None and exact.base is not None and exact.contender.workers > 1:
            said.append(
                f"{exact.contender.label}: {ratio_told(exact.speedup)} x as fast as {exact.base.strategy} with one."
            )
    for each in analysis.exactness:
        said.append(
            f"Exact all-reduce is {ratio_told(each.ratio)} x as fast as torch's ({each.model}, {each.workers} "
            "workers): what the same weights for any number of workers cost."
        )
    return said


def caveats(analysis: Analysis, request: Request, cores: int) -> list[str]:
    """What a reader of the report must know; none where all went as it should."""
    said = []
    if analysis.failed:
        said.append(f"{analysis.failed} of {analysis.trials} trials failed; their lines of results.jsonl say why.")
    for each in analysis.skipped:
        said.append(f"Not run: {each.contender.label}: {each.reason}")
    crowded = sorted({workers for workers in request.workers if workers > cores})
    if crowded:
        said.append(
            f"{', '.join(map(str, crowded))} workers share {cores} cores: what is told of them is no speed-up of more "
            "machines."
        )
    wide = [each for each in analysis.figures if _width(each.samples_per_s) > _WIDE]
    if wide:
        said.append(
            f"Of {len(wide)} contenders the rounds differ by more than {100 * _WIDE:.0f} %: the machine did other "
            "work, or --seconds is too short."
        )
    if any(each.needed_bytes == 0 and (each.network_bytes or 0.0) > _STRAY_BYTES for each in analysis.figures):
        said.append("Other programs used the loopback interface meanwhile: of the bytes sent some are not ours.")
    if any(each.samples_per_s.runs < 3 for each in analysis.figures):
        said.append("Fewer than three rounds tell no spread; say --rounds 5.")
    return said


def rate_told(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.min:,.0f} to {spread.max:,.0f})"


def ratio_told(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.2f} ({spread.min:.2f} to {spread.max:.2f})"


def bytes_told(size_bytes: float | None) -> str:
    """In kB or MB."""
    if size_bytes is None:
        return ""
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"


def _workers(figures: Figures) -> int:
    return figures.contender.workers


def _width(spread: Spread) -> float:
    return (spread.max - spread.min) / spread.median
