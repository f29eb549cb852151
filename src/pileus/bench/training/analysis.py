"""What the trials of a study say: each contender's speed, and how it stands to others in the same rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from pileus.bench.spread import Spread
from pileus.bench.training.design import Contender, Skipped
from pileus.bench.training.results import Done
from pileus.bench.training.trial import Outcome
from pileus.spec.run import AllReduce, LocalSgd, ParameterServer, RunSpec
from pileus.spec.values import Spec

EXACT, FAST = "all_reduce:exact", "all_reduce:fast"
_WEIGHT_BYTES = 4


class Figures(Spec, frozen=True, kw_only=True):
    """Of one contender."""

    contender: Contender
    samples_per_s: Spread
    speedup: Spread | None
    """Samples a second by those of the base in the same round; None where no base was measured."""
    base: Contender | None
    """The first one-worker contender of the same model."""
    step_ms: float
    """Median of the rounds, as those below."""
    phases_ms: dict[str, float]
    """Of a step on rank 0; 'other' is what the strategy does not tell apart."""
    start_s: float
    network_bytes: float | None
    """Sent for a worker and step, as measured: weights, gradients, totals, heads of packets."""
    needed_bytes: float
    """That the protocol needs between hosts for weights and gradients in float32, uncompressed."""
    staleness: float | None
    """Mean of a push, in steps; None where the strategy has no servers."""
    parameters: int


class Exactness(Spec, frozen=True, kw_only=True):
    """What the same bits for any number of workers cost."""

    model: str
    workers: int
    ratio: Spread
    """Samples a second of exact all-reduce by those of fast, in the same round."""


class Analysis(Spec, frozen=True, kw_only=True):
    trials: int
    failed: int
    samples: int
    """That were counted."""
    figures: tuple[Figures, ...]
    """In the order in which the contenders were asked for."""
    exactness: tuple[Exactness, ...]
    skipped: tuple[Skipped, ...]


Rates = Mapping[int, float]
"""Samples a second by round."""


def analyse(specs: Mapping[Contender, RunSpec], done: Sequence[Done], skipped: Sequence[Skipped]) -> Analysis:
    """Of the trials that did not fail; there may be none."""
    outcomes: dict[Contender, dict[int, Outcome]] = {contender: {} for contender in specs}
    for each in done:
        if each.outcome is not None:
            outcomes[each.trial.contender][each.trial.round] = each.outcome
    measured = {contender: found for contender, found in outcomes.items() if found}
    rates = {
        contender: {turn: outcome.samples_per_s for turn, outcome in found.items()}
        for contender, found in measured.items()
    }
    return Analysis(
        trials=len(done),
        failed=sum(each.outcome is None for each in done),
        samples=sum(each.outcome.samples for each in done if each.outcome is not None),
        figures=tuple(
            _figures(contender, specs[contender], list(found.values()), rates) for contender, found in measured.items()
        ),
        exactness=tuple(_exactness(rates)),
        skipped=tuple(skipped),
    )


def _figures(contender: Contender, spec: RunSpec, outcomes: list[Outcome], rates: Mapping[Contender, Rates]) -> Figures:
    base = next((each for each in rates if each.model == contender.model and each.workers == 1), None)
    steps = sum(outcome.steps for outcome in outcomes)
    sent = [outcome.network_bytes for outcome in outcomes if outcome.network_bytes is not None]
    stale = [outcome.staleness for outcome in outcomes if outcome.staleness is not None]
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.phases_s)
    phases = {
        name: statistics.median(1e3 * outcome.phases_s.get(name, 0.0) / outcome.steps for outcome in outcomes)
        for name in names
    }
    step_ms = statistics.median(1e3 * outcome.seconds / outcome.steps for outcome in outcomes)
    return Figures(
        contender=contender,
        samples_per_s=Spread.of(list(rates[contender].values())),
        speedup=None if base is None else ratio(rates[contender], rates[base]),
        base=base,
        step_ms=step_ms,
        phases_ms=phases | {"other": max(0.0, step_ms - sum(phases.values()))},
        start_s=statistics.median(outcome.start_s for outcome in outcomes),
        network_bytes=sum(sent) / steps / contender.workers if len(sent) == len(outcomes) else None,
        needed_bytes=needed_bytes(spec, outcomes[0].parameters),
        staleness=statistics.median(stale) if stale else None,
        parameters=outcomes[0].parameters,
    )


def ratio(one: Rates, other: Rates) -> Spread | None:
    """Round by round; None where they have no round in common."""
    common = [one[turn] / other[turn] for turn in one if turn in other]
    return Spread.of(common) if common else None


def needed_bytes(spec: RunSpec, parameters: int) -> float:
    """What a worker sends and is sent a step, by two: a ring all-reduce's 2 (W-1)/W vectors, a server's push and pull.

    Of local SGD a round's bytes are shared among its steps.
    """
    vector = _WEIGHT_BYTES * parameters
    ring = 2 * (spec.workers - 1) / spec.workers * vector
    match spec.strategy:
        case AllReduce():
            return ring
        case ParameterServer():
            return 2.0 * vector
        case LocalSgd(steps=steps):
            return ring / steps if steps is not None else 0.0
        case _:
            return 0.0


def _exactness(rates: Mapping[Contender, Rates]) -> list[Exactness]:
    found = []
    for contender, exact in rates.items():
        if contender.strategy != EXACT or contender.workers == 1:
            continue
        fast = rates.get(msgspec.structs.replace(contender, strategy=FAST))
        if fast is not None and (spread := ratio(exact, fast)) is not None:
            found.append(Exactness(model=contender.model, workers=contender.workers, ratio=spread))
    return found
