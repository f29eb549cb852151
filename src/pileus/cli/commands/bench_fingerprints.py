"""`pileus bench fingerprints`: the same weights on every engine, by any number of workers, after a kill and a move."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from rich.table import Table

from pileus.bench.fingerprints.design import MAX_DEADLINE_S, TRIAL_S, Request
from pileus.bench.fingerprints.report import caveats, figures_document
from pileus.bench.fingerprints.study import Design, Study, design_of, run_study
from pileus.bench.fingerprints.table import LEGEND, markdown, sentence
from pileus.bench.folder import duration
from pileus.bench.reachable import STUDIED
from pileus.cli.bench_output import files_of, folder_of
from pileus.cli.console import Console
from pileus.cli.numbers import number

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """Trains one recipe on every engine that is installed, by each number of workers; once more with a worker
killed in mid-epoch; and once more stopped in mid-epoch and finished on another engine. The hash of the final weights of
each is put in a table, which is Markdown. Every training is a process of its own, in an order drawn by --seed.

examples:
  pileus bench fingerprints                                 scikit-learn's digits, some minutes
  pileus bench fingerprints --engines local ray --workers 1 2
  pileus bench fingerprints mnist_cnn --data mnist/ --epochs 1 --out bench/mnist
  pileus bench fingerprints --engines local spark@spark://head:7077
  pileus bench fingerprints --dry-run                       the trainings and how long they take, nothing else

An engine whose extra is missing is left out, and the report says so. A study that was stopped goes on with the same
command and --out. Next: pileus bench engines, what each costs.
Exit code 0: all weights are the same; 1: a training failed or ended with others; 2: impossible levels; 130: stopped."""

_workers, _epochs, _seed = number(int, 1, 64), number(int, 1, 1000), number(int, 0, 2**31)
_seconds = number(float, 1.0, MAX_DEADLINE_S)


def register(studies: Commands) -> None:
    parser = studies.add_parser("fingerprints", description="The same weights on every engine.", epilog=_EPILOG)
    parser.add_argument("recipe", metavar="RECIPE|FILE", nargs="?", default="digits_cnn", help="(digits_cnn)")
    parser.add_argument("--data", metavar="SOURCE", default="", help="labelled images (the recipe's own)")
    parser.add_argument("--out", metavar="DIR", help="folder of the record (bench/fingerprints-DATE-TIME)")
    engines = f"NAME or NAME@ADDRESS ({' '.join(STUDIED)}, as far as they are installed)"
    parser.add_argument("--engines", nargs="+", metavar="E", default=list(STUDIED), help=engines)
    parser.add_argument("--workers", nargs="+", type=_workers, metavar="N", default=[1, 2, 3, 4], help="(1 2 3 4)")
    parser.add_argument("--epochs", type=_epochs, metavar="N", default=2, help="of a training (2)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of the spec")
    parser.add_argument("--seed", type=_seed, metavar="N", default=0, help="of the order of the trainings (0)")
    parser.add_argument("--deadline-s", type=_seconds, metavar="S", default=280.0, help="for one training (280)")
    parser.add_argument("--dry-run", action="store_true", help="show the trainings and do nothing")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace, console: Console) -> int:
    request = Request(
        recipe=args.recipe,
        source=args.data,
        engines=tuple(args.engines),
        workers=tuple(args.workers),
        settings=tuple(args.set),
        epochs=args.epochs,
        seed=args.seed,
        deadline_s=args.deadline_s,
    )
    if args.dry_run:
        design = design_of(request)
        about_s = TRIAL_S * len(design.trials)
        document = {"request": request, "trials": design.trials, "left_out": design.left_out, "expected_s": about_s}
        console.result(document, _design(design, about_s))
        return 0
    out = folder_of("fingerprints", args.out)
    study = run_study(request, out, console)
    console.result({**files_of(out), **figures_document(study.figures)}, _told(study))
    return 0 if study.figures.is_equal else 1


def _design(design: Design, about_s: float) -> Table:
    table = Table("training", "", box=None)
    for trial in design.trials:
        table.add_row(trial.label, "")
    for each in design.left_out:
        table.add_row(each.engine, f"left out: {each.reason}")
    table.add_row("trainings", f"{len(design.trials)}, about {duration(about_s)} in all")
    return table


def _told(study: Study) -> str:
    notes = [f"note: {each}" for each in caveats(study.figures)]
    report = f"report: {shlex.quote(str(study.out / 'report.html'))}"
    return "\n".join([markdown(study.figures), sentence(study.figures), LEGEND, *notes, "", report])
