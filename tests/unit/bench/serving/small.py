"""A small study's parts: a request, and outcomes that are told and not measured."""

from __future__ import annotations

import numpy as np

from pileus.bench.serving.design import Cell, Level, Request, Trial
from pileus.bench.serving.load import Latency, Sent
from pileus.bench.serving.trial import Done, Outcome

REQUEST = Request(bodies=("raw",), users=(10, 50), think_s=(0.0, 1.0), shares=(0.5, 3.0), rounds=2)
"""One saturation and six cells: 13 trials."""


def sent(goodput: float = 100.0, p99_ms: float = 10.0, failed: dict[str, int] | None = None, late: float = 0.0) -> Sent:
    """Of one second."""
    ok = round(goodput)
    latency = Latency.of(np.full(max(ok, 1), p99_ms / 1e3)) if ok else None
    return Sent(
        began=0.0,
        seconds=1.0,
        sent=ok + sum((failed or {}).values()),
        ok=ok,
        in_time=ok,
        failed=failed or {},
        latency=latency,
        refused=Latency.of(np.array([0.02])) if "429" in (failed or {}) else None,
        refused_after=Latency.of(np.array([0.01])) if "429" in (failed or {}) else None,
        retry_after_s=(1.0, 2.0) if "429" in (failed or {}) else None,
        late=late,
        late_p99_ms=0.0,
        cpu_s=0.25,
        connections=10,
        unnamed=0,
        stray=0,
        given=(),
        timeline=(),
    )


def outcome(found: Sent, asked_per_s: float | None = None, wrong: int = 0) -> Outcome:
    return Outcome(
        sent=found,
        asked_per_s=asked_per_s,
        wrong=wrong,
        ready_s=0.75,
        server_cores=1.5,
        server_rss_bytes=100_000_000,
        batch_images=4.0,
    )


def done(number: int, turn: int, level: Level, found: Outcome | None, error: str = "") -> Done:
    trial = Trial(number=number, round=turn, cell=Cell(body="raw", level=level))
    return Done(trial=trial, outcome=found, error=error)
