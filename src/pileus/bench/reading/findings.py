"""The figures of a study in words: the three that tell most, and what is to be known before they are trusted."""

from __future__ import annotations

import math

from pileus.bench.reading.analysis import Analysis, Cost
from pileus.bench.reading.regression import Estimate, Fit, Unfit
from pileus.bench.reading.roofline import Bound, Part

_MOST_RATIOS = 4
"""In a sentence; those that differ most from 1. The report has all."""
_WHAT_BOUNDS: dict[Part, str] = {
    "decode": "decoding by {readers}",
    "store": "what the store gives",
    "hand-over": "the hand-over of batches between threads",
}


def findings(analysis: Analysis) -> list[str]:
    """Sentences; fewer where the design does not tell."""
    said = [_cost(analysis), _advantage(analysis), _bound(analysis)]
    return [sentence for sentence in said if sentence]


def caveats(analysis: Analysis) -> list[str]:
    """What a reader of the report must know; none where all went as it should."""
    evidence = analysis.evidence
    said = []
    if analysis.failed:
        said.append(f"{analysis.failed} of {analysis.trials} trials failed; their rows of results.csv say why.")
    if evidence.miscounted:
        said.append(f"In {evidence.miscounted} trials fewer images came than were asked for; they count as they came.")
    if evidence.not_cold:
        said.append(
            f"{evidence.not_cold} cold trials began with files in memory: this file system keeps them. What is said "
            "of cold reads does not hold."
        )
    if evidence.not_warm:
        said.append(f"{evidence.not_warm} warm trials began with files not in memory, which is perhaps too small.")
    if evidence.unchecked:
        said.append(f"Of {evidence.unchecked} trials it cannot be told whether files were in memory.")
    reasons = dict.fromkeys(cost.fit.reason for cost in analysis.costs if isinstance(cost.fit, Unfit))
    said += [f"Costs: {reason}." for reason in reasons]
    unclear = [cost for cost in analysis.costs if isinstance(cost.fit, Fit) and cost.fit.of("per image").low <= 0]
    if unclear:
        said.append(
            f"In {len(unclear)} of {len(analysis.costs)} groups the cost of an image cannot be told from nothing: "
            "trials are too short or the machine was not quiet. Take more batches or repetitions."
        )
    return said


def best_cost(analysis: Analysis) -> Cost | None:
    """That of the group with the cheapest image, among those in which an image's cost can be told from nothing."""
    fitted = [(cost.fit.of("per image"), cost) for cost in analysis.costs if isinstance(cost.fit, Fit)]
    sound = [(image.value, cost) for image, cost in fitted if image.low > 0]
    return min(sound, key=lambda each: each[0])[1] if sound else None


def _cost(analysis: Analysis) -> str:
    best = best_cost(analysis)
    if best is None or isinstance(best.fit, Unfit):
        return ""
    batch, image = best.fit.of("per batch"), best.fit.of("per image")
    extra = "" if batch.low > 0 else "nothing that can be told from noise, "
    return f"At best ({best.group.label}) an image costs {time_told(image)} and a batch {extra}{time_told(batch)}."


def _advantage(analysis: Analysis) -> str:
    telling = sorted(analysis.advantages, key=lambda each: -abs(math.log(each.ratio.value)))[:_MOST_RATIOS]
    told = [
        f"{each.store}, {each.cache}: {each.ratio.value:.2f} times (95 % CI {each.ratio.low:.2f} to "
        f"{each.ratio.high:.2f})"
        for each in telling
    ]
    return f"Speed of shards over that of files: {'; '.join(told)}." if told else ""


def _bound(analysis: Analysis) -> str:
    if not analysis.bounds:
        return ""
    fastest = max(analysis.bounds, key=lambda bound: bound.measured)
    counts = {part: sum(bound.bound_by == part for bound in analysis.bounds) for part in _WHAT_BOUNDS}
    told = ", ".join(f"{part} bounds {count}" for part, count in counts.items() if count)
    return (
        f"The fastest cell reads {rate_told(fastest.measured)} images/s, {fastest.share:.0%} of what {_part(fastest)} "
        f"allows alone; of {len(analysis.bounds)} cells {told}."
    )


def _part(bound: Bound) -> str:
    readers = bound.cell.readers
    return _WHAT_BOUNDS[bound.bound_by].format(readers="1 reader" if readers == 1 else f"{readers} readers")


def time_told(seconds: Estimate) -> str:
    """In the unit that suits the value, with its interval."""
    unit, factor = ("us", 1e6) if abs(seconds.value) < 1e-4 else ("ms", 1e3)
    value, low, high = (number * factor for number in (seconds.value, seconds.low, seconds.high))
    return f"{value:.3g} {unit} (95 % CI {low:.3g} to {high:.3g})"


def rate_told(images_per_s: float) -> str:
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"
