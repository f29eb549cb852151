"""`pileus evaluate`: accuracy, report per class, confusion and calibration of a run or a bundle."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from pileus.cli.console import Console
from pileus.errors import UsageError
from pileus.measure.classification import Classification, most_confused, shortened
from pileus.operations.evaluate import Evaluation, Rejection, evaluate, evaluation_report, told_split
from pileus.store import open_store

_EPILOG = """examples:
  pileus evaluate runs/strokes --data embedded:strokes          the run's test part
  pileus evaluate runs/mnist --data mnist/ --report mnist.html  with the worst errors as pictures
  pileus evaluate bundle/ --data photos/ --split all --json

SOURCE is a folder with a folder of pictures per class, idx files, CIFAR-10 batches, a CSV or JSON-lines
manifest, a record set, or embedded:NAME. Its classes must be the model's, in any order. Where it has no split
of its own, one is made by hash of the sample's id: 70 % train, 10 % validation, 20 % test."""

_SPLITS = ("test", "validation", "train", "all")
_MOST_IN_MATRIX = 12
"""Classes up to which the confusion matrix fits a terminal; with more, the pairs confused most are listed."""
_MOST_IN_TABLE = 40
"""Classes up to which all are listed; with more, the weakest."""
_NAME_WIDTH = 24
_CELL_WIDTH = 8


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a run or a bundle on a labelled source",
        description="Measure a run or a bundle on a labelled source.",
        epilog=_EPILOG,
    )
    parser.add_argument("place", metavar="RUN|BUNDLE", help="a run's name, or the path or URI of a run or a bundle")
    parser.add_argument("--data", metavar="SOURCE", required=True, help="labelled images")
    parser.add_argument("--kind", default="auto", help="kind of the source (default: found out)")
    parser.add_argument("--split", choices=_SPLITS, default="test", help="the part to measure on (default: test)")
    parser.add_argument("--report", metavar="FILE.html", help="write a page with figures and the worst errors")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace, console: Console) -> int:
    page = Path(args.report) if args.report else None
    if page and page.is_dir():
        raise UsageError(f"--report is a file (got the folder {page}); add a name, as {page / 'report.html'}.")
    with console.progress("evaluating", "images") as report:
        evaluation = evaluate(args.place, args.data, kind=args.kind, split=args.split, runs=args.runs, progress=report)
    if page:
        open_store(page.parent).put(page.name, evaluation_report(evaluation).encode())
        console.say(f"report: {page}")
    console.result(_document(evaluation, page), _shown(evaluation))
    return 0


def _document(evaluation: Evaluation, page: Path | None) -> dict[str, Any]:
    measured = msgspec.to_builtins(evaluation.measured)
    confusion = measured.pop("confusion_KK")
    provenance = evaluation.manifest.provenance
    return {
        **measured,
        "classes": evaluation.measured.classes,
        "confusion": confusion,
        "rejection": msgspec.to_builtins(evaluation.rejection),
        "model": {
            "name": evaluation.manifest.name,
            "version": evaluation.manifest.short_version,
            "run": provenance.run,
            "weights": provenance.weights,
        },
        "version": evaluation.manifest.short_version,
        "data": {
            "source": evaluation.data,
            "kind": evaluation.kind,
            "fingerprint": evaluation.fingerprint,
            "split": evaluation.split,
        },
        "report": str(page) if page else None,
    }


def _shown(evaluation: Evaluation) -> RenderableType:
    measured, manifest = evaluation.measured, evaluation.manifest
    low, high = measured.accuracy_interval
    first = ", ".join(f"{share:.2%} among the first {k}" for k, share in measured.top_k.items())
    told = {
        "model": f"{manifest.name} {manifest.short_version}",
        "data": f"{evaluation.data} ({evaluation.kind})",
        "measured": told_split(evaluation),
        "accuracy": f"{measured.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})",
        "truth": first,
        "calibration": f"error {measured.ece:.2%}, log loss {measured.log_loss:.4f} nats",
        "rejected": _told_rejection(evaluation.rejection),
    }
    lines = [Text.assemble((f"{name:<13}", "dim"), value) for name, value in told.items() if value]
    parts: list[RenderableType] = [*lines, Text(), _classes(measured), Text()]
    if len(measured.per_class) <= _MOST_IN_MATRIX:
        parts.append(_confusion(measured))
    else:
        parts.append(_pairs(measured))
    return Group(*parts)


def _told_rejection(rejection: Rejection | None) -> str:
    if rejection is None:
        return ""
    of_none = f", {rejection.none_rejected:.2%} of {rejection.num_none:,} of none" if rejection.num_none else ""
    return f"{rejection.false_rejects:.2%} of these{of_none}"


def _classes(measured: Classification) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True, footer_style="dim")
    averages = (measured.macro_precision, measured.macro_recall, measured.macro_f1)
    shown = list(measured.per_class)
    title = "class"
    if len(shown) > _MOST_IN_TABLE:
        shown = sorted((one for one in shown if one.support), key=lambda one: one.f1)[:_MOST_IN_TABLE]
        title = f"weakest {len(shown)} of {len(measured.per_class)}"
    table.add_column(title, footer="macro average")
    for name, average in zip(("precision", "recall", "f1"), averages, strict=True):
        table.add_column(name, justify="right", footer=f"{average:.2%}")
    table.add_column("samples", justify="right", footer=f"{measured.num_samples:,}")
    for one in shown:
        ratios = [Text(f"{ratio:.2%}", style=_ratio_style(ratio)) for ratio in (one.precision, one.recall, one.f1)]
        table.add_row(Text(shortened(one.name, _NAME_WIDTH)), *ratios, f"{one.support:,}")
    return table


def _ratio_style(ratio: float) -> str:
    return "red" if ratio < 0.8 else "yellow" if ratio < 0.95 else ""


def _confusion(measured: Classification) -> Table:
    """Rows are the truth. Hits are green, confusions the redder the more often."""
    table = Table(box=None, pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("truth \\ predicted")
    for name in measured.classes:
        table.add_column(Text(shortened(name, _CELL_WIDTH)), justify="right")
    most = max((pair.times for pair in most_confused(measured, 1)), default=1)
    for truth, (name, row) in enumerate(zip(measured.classes, measured.confusion_KK, strict=True)):
        cells = [_cell(count, most, hit=truth == predicted) for predicted, count in enumerate(row)]
        table.add_row(Text(shortened(name, _NAME_WIDTH)), *cells)
    return table


def _cell(count: int, most: int, *, hit: bool) -> Text:
    if not count:
        return Text("·", style="dim")
    if hit:
        return Text(str(count), style="green")
    strength = math.log1p(count) / math.log1p(most)
    return Text(str(count), style=Style(color=f"rgb({150 + round(105 * strength)},80,60)", bold=strength > 0.7))


def _pairs(measured: Classification) -> Table:
    table = Table("truth", "taken for", box=None, pad_edge=False, header_style="dim")
    table.add_column("times", justify="right")
    table.add_column("of its samples", justify="right")
    for pair in most_confused(measured):
        names = (Text(shortened(name, _NAME_WIDTH)) for name in (pair.truth, pair.predicted))
        table.add_row(*names, str(pair.times), f"{pair.share:.1%}")
    return table
