"""`pileus bench engines`: the same work by local processes, Ray, Dask and Spark."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from rich.table import Table

from pileus.bench.engines.design import (
    CNN,
    FILES,
    MAX_DEADLINE_S,
    TRIAL_S,
    USUAL_ENGINES,
    Design,
    Request,
    design_of,
)
from pileus.bench.engines.findings import findings
from pileus.bench.engines.report import HEADER, figures_document, rows
from pileus.bench.engines.study import Study, open_sources, run_study
from pileus.bench.folder import duration
from pileus.cli.bench_output import files_of, folder_of
from pileus.cli.console import Console
from pileus.cli.numbers import number
from pileus.spec.neighbours import KNN

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """What each engine costs here: data sets, models, engines, numbers of workers and stores, every combination a
run of its own from a cold process, in an order drawn by --seed. OUT then has report.html (time, start-up apart from
work, accuracy with a report per class, memory, traffic, and what follows), results.jsonl with a line a trial, and the
rest.

examples:
  pileus bench engines                                          scikit-learn's digits; some minutes
  pileus bench engines --data mnist/ --models knn cnn resnet18 --epochs 1 --images 5000
  pileus bench engines --engines local ray --workers 1 2 3 4 6 --set microbatch_size=8 --rounds 3
  pileus bench engines --stores files s3://bucket/bench         records and runs in S3 too
  pileus bench engines --engines local dask@tcp://head:8786 --stores s3://bucket/bench
  pileus bench engines --dry-run                                the design and how long it takes, nothing else

Models are knn (1 to 10 neighbours in one pass), cnn (the usual one for the images), a network or a recipe by name. An
engine that is not installed is left out, and what cannot be run is a row that says why. What is written below a URI is
removed at the end. A study that was stopped goes on with the same command and --out. See also: pileus bench
fingerprints (whether all give the same weights), pileus bench training (strategies).
Exit code 0: done; 1: done, but trials failed; 2: impossible levels; 130: stopped, the trials done are kept."""

_count, _epochs, _seed = number(int, 1, 1_000_000), number(int, 1, 1000), number(int, 0, 2**31)
_seconds = number(float, 1.0, MAX_DEADLINE_S)


def register(studies: Commands) -> None:
    parser = studies.add_parser("engines", description="Engines side by side.", epilog=_EPILOG)
    parser.add_argument("--out", metavar="DIR", help="folder of the record (bench/engines-DATE-TIME)")
    levels = parser.add_argument_group("levels", "one or more of each")
    levels.add_argument("--data", nargs="+", metavar="SOURCE", default=["embedded:digits"], help="labelled images")
    levels.add_argument(
        "--models", nargs="+", metavar="M", default=[KNN, CNN], help="knn, cnn, resnet18, ... (knn cnn)"
    )
    engines = f"NAME or NAME@ADDRESS ({' '.join(USUAL_ENGINES)}, as far as they are installed)"
    levels.add_argument("--engines", nargs="+", metavar="E", default=list(USUAL_ENGINES), help=engines)
    levels.add_argument(
        "--workers", nargs="+", type=_count, metavar="N", default=[1, 2], help="numbers of workers (1 2)"
    )
    levels.add_argument("--stores", nargs="+", metavar="URI", default=[FILES], help="'files' or URIs (files)")
    parser.add_argument("--images", type=_count, metavar="N", help="of each data set, at most (all)")
    parser.add_argument("--epochs", type=_epochs, metavar="N", default=4, help="of what trains by steps (4)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of every spec")
    parser.add_argument("--rounds", type=_count, metavar="N", default=1, help="each with every cell once (1)")
    parser.add_argument("--seed", type=_seed, metavar="N", default=0, help="of the order of the trials (0)")
    parser.add_argument("--deadline-s", type=_seconds, metavar="S", default=280.0, help="for one trial (280)")
    parser.add_argument("--dry-run", action="store_true", help="show the design and do nothing")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace, console: Console) -> int:
    request = Request(
        data=tuple(args.data),
        models=tuple(args.models),
        engines=tuple(args.engines),
        workers=tuple(args.workers),
        stores=tuple(args.stores),
        images=args.images,
        epochs=args.epochs,
        settings=tuple(args.set),
        rounds=args.rounds,
        seed=args.seed,
        deadline_s=args.deadline_s,
    )
    if args.dry_run:
        design = design_of(request, open_sources(request))
        about_s = TRIAL_S * len(design.trials)
        document = {
            "request": request,
            "trials": design.trials,
            "skipped": design.skipped,
            "left_out": design.left_out,
            "expected_s": about_s,
        }
        console.result(document, _design(design, about_s))
        return 0
    out = folder_of("engines", args.out)
    study = run_study(request, out, console)
    console.result({**files_of(out), **figures_document(study.content)}, _told(study))
    return 1 if study.content.analysis.failed else 0


def _design(design: Design, about_s: float) -> Table:
    table = Table("cell", "", box=None)
    for cell in design.specs:
        table.add_row(cell.label, "")
    for each in design.skipped:
        table.add_row(each.cell.label, f"not run: {each.reason}")
    for one in design.left_out:
        table.add_row(one.engine, f"left out: {one.reason}")
    table.add_row("trials", f"{len(design.trials):,}, about {duration(about_s)} in all")
    return table


def _told(study: Study) -> str:
    content = study.content
    table = [HEADER, *rows(content.analysis)]
    widths = [max(map(len, column)) for column in zip(*(row for row in table if row[-1]), strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    notes = [f"note: {sentence}" for sentence in content.caveats]
    report = f"report: {shlex.quote(str(study.out / 'report.html'))}"
    return "\n".join([*lines, "", *findings(content.analysis), *notes, "", report])
