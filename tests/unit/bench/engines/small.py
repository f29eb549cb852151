"""A small study's parts: a request, and outcomes that are told and not measured."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.bench.engines.analysis import Analysis, Done, analyse
from pileus.bench.engines.design import Cell, Request, Trial
from pileus.bench.engines.trial import Outcome
from pileus.measure.classification import ClassFigures

REQUEST = Request(engines=("local", "fake"), workers=(1, 2))
SAME = "ab" * 32


def cell(engine: str, workers: int = 1, model: str = "cnn", store: str = "files") -> Cell:
    return Cell(data="embedded:digits", model=model, engine=engine, workers=workers, store=store)


def outcome(
    start_s: float = 2.0, work_s: float = 3.0, fingerprint: str = SAME, by_k: tuple[float, ...] = ()
) -> Outcome:
    return Outcome(
        total_s=start_s + work_s + 1.0,
        start_s=start_s,
        work_s=work_s,
        accuracy=0.9,
        macro_f1=0.89,
        classes=(ClassFigures(name="seven", precision=0.5, recall=0.75, f1=0.6, support=1200),),
        fingerprint=fingerprint,
        peak_bytes=1_500_000_000,
        processes=4,
        network_bytes=12_300_000,
        accuracy_by_k=by_k,
    )


def done(number: int, where: Cell, found: Outcome | None, turn: int = 0) -> Done:
    error = "" if found else "the cluster is gone"
    return Done(trial=Trial(number=number, round=turn, cell=where), outcome=found, error=error)


def analysis(lines: Sequence[Done]) -> Analysis:
    return analyse(list(dict.fromkeys(each.trial.cell for each in lines)), lines, [], [])
