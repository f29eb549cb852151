"""What the trials of a study say: of each cell its figures over the rounds, of each kind of body what it can bear."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from pileus.bench.serving.bodies import Kind
from pileus.bench.serving.design import Cell, Crowd, Request, Saturation, Stream
from pileus.bench.serving.load import Latency
from pileus.bench.serving.trial import Done, Outcome
from pileus.bench.spread import Spread
from pileus.spec.values import Spec

BOUND_MS = 50.0
"""Of the 99th percentile, where a rate counts as borne."""
_FEW_FAILED = 0.001
"""Share of requests that may fail at a rate that counts as borne."""


class Figures(Spec, frozen=True, kw_only=True):
    """Of one cell; latencies of good answers, in milliseconds from the intended time."""

    cell: Cell
    asked_per_s: float | None
    """The rate of an open loop."""
    goodput: Spread
    """Good answers a second."""
    p50_ms: Spread | None
    """None where nothing was answered well, as the next."""
    p90_ms: Spread | None
    p99_ms: Spread | None
    p999_ms: Spread | None
    refused_p99_ms: Spread | None
    """Of answers with 429, from sending: what the server needs to refuse."""
    retry_after_s: tuple[float, float] | None
    """Least and greatest that was said."""
    sent: int
    """Of all rounds, as those below."""
    failed: dict[str, int]
    wrong: int
    server_cores: float | None
    """Median of the rounds, as those below."""
    sender_cores: float
    server_rss_bytes: int | None
    batch_images: float | None
    late: float
    """The greatest share of late starts of a round."""
    kept_up: bool
    """The sender did, in every round."""

    @property
    def num_failed(self) -> int:
        return sum(self.failed.values())


class Bearing(Spec, frozen=True, kw_only=True):
    """What the server bears of one kind of body."""

    body: Kind
    saturation: float
    """Answers a second to users who never pause, as the first trial found it."""
    peak: float
    """The most good answers a second of any cell; median of its rounds."""
    borne_per_s: float | None
    """The greatest rate asked up to which p99 stayed below BOUND_MS and as good as nothing failed; None: not one."""
    overload: float | None
    """Good answers a second at the greatest rate, by `peak`; None below 1.5 x saturation."""


class Analysis(Spec, frozen=True, kw_only=True):
    trials: int
    failed: int
    """Trials."""
    requests: int
    """That were counted."""
    wrong: int
    """Answers."""
    ready_s: Spread | None
    figures: tuple[Figures, ...]
    bearings: tuple[Bearing, ...]


def analyse(request: Request, done: Sequence[Done]) -> Analysis:
    """Of the trials that did not fail; there may be none."""
    found: dict[Cell, list[Outcome]] = {}
    for each in sorted(done, key=_place):
        if each.outcome is not None:
            found.setdefault(each.trial.cell, []).append(each.outcome)
    figures = tuple(_figures(cell, outcomes) for cell, outcomes in found.items())
    ready = [outcome.ready_s for outcomes in found.values() for outcome in outcomes]
    return Analysis(
        trials=len(done),
        failed=sum(each.outcome is None for each in done),
        requests=sum(each.sent for each in figures),
        wrong=sum(each.wrong for each in figures),
        ready_s=Spread.of(ready) if ready else None,
        figures=figures,
        bearings=tuple(
            _bearing(body, mine) for body in request.bodies if (mine := [f for f in figures if f.cell.body == body])
        ),
    )


def _place(done: Done) -> tuple[str, int, float, float]:
    """By body; saturation, then crowds, then streams, the smallest first."""
    match done.trial.cell.level:
        case Saturation():
            place = 0, 0.0, 0.0
        case Crowd(users=users, think_s=think_s):
            place = 1, think_s, float(users)
        case Stream(share=share):
            place = 2, share, 0.0
    return done.trial.cell.body, *place


def _figures(cell: Cell, outcomes: list[Outcome]) -> Figures:
    failed: Counter[str] = Counter()
    for outcome in outcomes:
        failed.update(outcome.sent.failed)
    good = [outcome.sent.latency for outcome in outcomes if outcome.sent.latency is not None]
    refused = [outcome.sent.refused_after.p99_ms for outcome in outcomes if outcome.sent.refused_after is not None]
    waits = [outcome.sent.retry_after_s for outcome in outcomes if outcome.sent.retry_after_s is not None]
    rss = _middle([float(each.server_rss_bytes) for each in outcomes if each.server_rss_bytes is not None])
    return Figures(
        cell=cell,
        asked_per_s=outcomes[0].asked_per_s,
        goodput=Spread.of([outcome.sent.goodput for outcome in outcomes]),
        p50_ms=_spread(good, lambda latency: latency.p50_ms),
        p90_ms=_spread(good, lambda latency: latency.p90_ms),
        p99_ms=_spread(good, lambda latency: latency.p99_ms),
        p999_ms=_spread(good, lambda latency: latency.p999_ms),
        refused_p99_ms=Spread.of(refused) if refused else None,
        retry_after_s=(min(low for low, _ in waits), max(high for _, high in waits)) if waits else None,
        sent=sum(outcome.sent.sent for outcome in outcomes),
        failed=dict(sorted(failed.items())),
        wrong=sum(outcome.wrong for outcome in outcomes),
        server_cores=_middle([each.server_cores for each in outcomes if each.server_cores is not None]),
        sender_cores=statistics.median(outcome.sent.cpu_s / outcome.sent.seconds for outcome in outcomes),
        server_rss_bytes=None if rss is None else int(rss),
        batch_images=_middle([each.batch_images for each in outcomes if each.batch_images is not None]),
        late=max(outcome.sent.late for outcome in outcomes),
        kept_up=all(outcome.sent.kept_up for outcome in outcomes),
    )


def _bearing(body: Kind, figures: list[Figures]) -> Bearing:
    streams = [each for each in figures if isinstance(each.cell.level, Stream) and each.asked_per_s is not None]
    peak = max(each.goodput.median for each in figures)
    borne = None
    for each in streams:
        few = each.num_failed <= _FEW_FAILED * each.sent
        if each.p99_ms is None or each.p99_ms.median >= BOUND_MS or not few:
            break
        borne = each.asked_per_s
    first = next((each for each in figures if isinstance(each.cell.level, Saturation)), None)
    most = streams[-1] if streams else None
    is_overload = most is not None and isinstance(most.cell.level, Stream) and most.cell.level.share >= 1.5
    return Bearing(
        body=body,
        saturation=first.goodput.median if first is not None else 0.0,
        peak=peak,
        borne_per_s=borne,
        overload=most.goodput.median / peak if most is not None and is_overload and peak else None,
    )


def _spread(latencies: list[Latency], read: Callable[[Latency], float]) -> Spread | None:
    return Spread.of([read(latency) for latency in latencies]) if latencies else None


def _middle(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
