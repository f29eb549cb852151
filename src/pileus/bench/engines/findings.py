"""The figures of a study of engines in words: what follows, and what is to be known before they are trusted."""

from __future__ import annotations

import statistics

from pileus.bench.engines.analysis import LOCAL, Analysis, Figures, Model
from pileus.bench.engines.design import Request

_GAIN = 0.95
"""Work in less than this part of local's time counts as a gain."""
_WIDE = 0.2
"""Of the median: between the slowest and the fastest round, from where on a machine counts as busy."""


def findings(analysis: Analysis) -> list[str]:
    """Sentences; fewer where the design does not tell."""
    said = []
    for model in analysis.models:
        said += _of_model(model, analysis)
    for store in analysis.stores:
        said.append(
            f"With records and run in {store.store} the start-up takes {store.start:.2f} x and the work "
            f"{store.work:.2f} x the time that they take with files of this machine ({_cells(store.cells)})."
        )
    return [*said, *_conclusions(analysis)]


def _of_model(model: Model, analysis: Analysis) -> list[str]:
    mine = [each for each in analysis.figures if (each.cell.data, each.cell.model) == (model.data, model.model)]
    first = min(mine, key=_total)
    name = f"{model.model} on {model.data}"
    told = f"{name}: done first by {_place(first)}, in {first.total_s.median:.1f} s"
    others = [
        f"{_place(best)} {best.total_s.median:.1f} s"
        for engine in dict.fromkeys(each.cell.engine for each in mine)
        if engine != first.cell.engine
        for best in [min((each for each in mine if each.cell.engine == engine), key=_total)]
    ]
    said = [f"{told}; {', '.join(others)}." if others else f"{told}."]
    if len(model.fingerprints) == 1 and model.trials > 1:
        said.append(
            f"{name}: all {model.trials} trials came to the same bits ({model.fingerprints[0][:12]}), "
            f"{100 * model.accuracy:.2f} % of the test part."
        )
    if model.accuracy_by_k:
        best = max(model.accuracy_by_k)
        k = 1 + model.accuracy_by_k.index(best)
        said.append(
            f"{name}: of 1 to {len(model.accuracy_by_k)} neighbours {k} do{'es' if k == 1 else ''} best on the "
            f"validation part ({100 * best:.2f} %)."
        )
    return said


def _conclusions(analysis: Analysis) -> list[str]:
    """What follows: a sentence for each engine beside local, and one on all."""
    said, none_gains = [], bool(analysis.beside)
    for engine in dict.fromkeys(each.engine for each in analysis.beside):
        mine = [each for each in analysis.beside if each.engine == engine]
        late_s = statistics.median(each.late_s for each in mine)
        work = statistics.median(each.work for each in mine)
        cells = sum(each.cells for each in mine)
        told = f"Beside {LOCAL}, {engine} begins {_late(late_s)} and works for {work:.2f} x the time ({_cells(cells)})"
        if work < _GAIN:
            none_gains = False
            after_s = max(0.0, late_s) / (1 - work)
            told += f": it wins where {LOCAL} would work for more than about {after_s:.0f} s"
        said.append(f"{told}.")
    if none_gains:
        said.append(
            f"What follows: for this work on this machine take {LOCAL}; another engine pays by cores that this machine "
            "lacks, and costs its start-up once a run."
        )
    elif analysis.beside:
        said.append("What follows: the longer the work, the more an engine that works faster pays for its start-up.")
    return said


def caveats(analysis: Analysis, request: Request, cores: int) -> list[str]:
    """What a reader of the report must know; none where all went as it should."""
    said = []
    if analysis.failed:
        said.append(f"{len(analysis.failed)} of {analysis.trials} trials failed; the table says why.")
    said += [f"Left out: {each.engine}: {each.reason}" for each in analysis.left_out]
    for reason in dict.fromkeys(each.reason for each in analysis.skipped):
        mine = [each.cell.label for each in analysis.skipped if each.reason == reason]
        said.append(f"Not run: {'; '.join(mine[:3])}{f' and {len(mine) - 3} more' if len(mine) > 3 else ''}: {reason}")
    for model in analysis.models:
        if len(model.fingerprints) > 1:
            said.append(f"{model.model} on {model.data} came to {len(model.fingerprints)} different results.")
    if any("@" not in engine for engine in request.engines) and max(request.workers) > 1:
        said.append(
            f"All workers share this machine's {cores} cores: more of them are no more cores, and what is told of them "
            "is no speed-up of more machines."
        )
    wide = [each for each in analysis.figures if each.total_s.max - each.total_s.min > _WIDE * each.total_s.median]
    if wide:
        said.append(
            f"Of {len(wide)} cells the rounds differ by more than {100 * _WIDE:.0f} %: the machine did other work."
        )
    if any(each.total_s.runs < 3 for each in analysis.figures):
        said.append("Fewer than three rounds tell no spread; say --rounds 3.")
    return said


def seconds_told(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def size_told(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:,.2f} GB"


def _late(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'later' if seconds >= 0 else 'earlier'}"


def _place(figures: Figures) -> str:
    cell = figures.cell
    return f"{cell.engine} with {cell.workers}"


def _total(figures: Figures) -> float:
    return figures.total_s.median


def _cells(count: int) -> str:
    return "one pair of cells" if count == 1 else f"median of {count} pairs of cells"
