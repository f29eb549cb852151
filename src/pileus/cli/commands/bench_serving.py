"""`pileus bench serving`: users and rates against `pileus serve`."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from rich.table import Table

from pileus.bench.serving.bodies import KINDS, kinds_of
from pileus.bench.serving.design import (
    MAX_PAUSE_S,
    MAX_SECONDS,
    MAX_SHARE,
    MAX_TRIALS,
    Request,
    all_trials,
)
from pileus.bench.serving.findings import failures_told, findings, told
from pileus.bench.serving.load import MAX_CONNECTIONS
from pileus.bench.serving.report import figures_document
from pileus.bench.serving.study import Study, run_study
from pileus.bundles import load
from pileus.bundles.load import find_place
from pileus.cli.bench_output import files_of, folder_of
from pileus.cli.console import Console
from pileus.cli.numbers import number

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """What a served model bears here: users who ask, read and ask again, and rates of requests that do not wait
for answers, in steps up to saturation and beyond. Each load is tried once in each round, in an order drawn anew and
against a fresh server. OUT then has report.html (latencies from the intended time, goodput, failures by cause, cores,
memory, batches), results.jsonl with a line a trial, and the rest. Every answer is compared with the offline model's.

examples:
  pileus bench serving                                  a small model, trained first; about half an hour
  pileus bench serving digits --quick                   about two minutes
  pileus bench serving runs/digits/bundle --bodies raw --users 50 1000 --shares 0.5 1 3 --out bench/digits
  pileus bench serving photos --data path/to/photos --processes 4
  pileus bench serving digits --dry-run                 the design and how long it takes, nothing else

A study that was stopped goes on with the same command and --out.
Exit code 0: done; 1: done, but trials failed or answers were wrong; 2: impossible levels; 130: stopped, the trials
done are kept."""

_count, _users = number(int, 1, MAX_TRIALS), number(int, 1, MAX_CONNECTIONS)
_pause, _share = number(float, 0.0, MAX_PAUSE_S), number(float, 0.001, MAX_SHARE)
_seconds = number(float, 0.1, MAX_SECONDS)
_USUAL = Request(bodies=KINDS)
_QUICK = Request(bodies=("raw",), users=(10, 50), shares=(0.5, 1.0, 3.0), seconds=2.0, rounds=1)


def register(studies: Commands) -> None:
    parser = studies.add_parser("serving", description="The load test of serving.", epilog=_EPILOG)
    parser.add_argument("bundle", metavar="RUN|BUNDLE", nargs="?", help="what to serve (a small model, trained first)")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
    parser.add_argument("--out", metavar="DIR", help="folder of the record (bench/serving-DATE-TIME)")
    parser.add_argument("--data", metavar="SOURCE", help="pictures to send (the embedded drawings)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter trials, where nothing else is said")
    levels = parser.add_argument_group("levels", "with none a level is left out")
    levels.add_argument("--bodies", nargs="+", choices=KINDS, metavar="B", help=f"of {', '.join(KINDS)} (all)")
    levels.add_argument("--users", nargs="*", type=_users, metavar="N", help="at once (10 25 50 1000)")
    levels.add_argument("--think-s", nargs="+", type=_pause, metavar="S", help="mean pause of a user (0 1)")
    levels.add_argument("--shares", nargs="*", type=_share, metavar="X", help="rates, by saturation (0.1 to 3)")
    parser.add_argument("--processes", type=_count, metavar="N", help="of `pileus serve` (as it chooses)")
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="counted in a trial (5)")
    parser.add_argument("--rounds", type=_count, metavar="N", help="each with every load once (3)")
    parser.add_argument("--dry-run", action="store_true", help="show the design and do nothing")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace, console: Console) -> int:
    request = _request(args)
    if args.dry_run:
        document = {"request": request, "trials": all_trials(request), "expected_s": request.expected_s}
        console.result(document, _design(request))
        return 0
    out = folder_of("serving", args.out)
    study = run_study(request, out, console)
    console.result({**files_of(out), **figures_document(study.content)}, _told(study))
    return 1 if study.content.analysis.failed or study.content.analysis.wrong else 0


def _request(args: argparse.Namespace) -> Request:
    """UsageError for no bundle; SpecError for impossible levels."""
    place = find_place(args.bundle, args.runs) if args.bundle else None
    usual = _QUICK if args.quick else _USUAL
    kinds = kinds_of(load(place)) if place else KINDS
    return Request(
        bundle=place,
        data=args.data,
        bodies=tuple(args.bodies or (kind for kind in usual.bodies if kind in kinds)),
        users=usual.users if args.users is None else tuple(args.users),
        think_s=tuple(args.think_s or usual.think_s),
        shares=usual.shares if args.shares is None else tuple(sorted(args.shares)),
        processes=args.processes,
        seconds=args.seconds or usual.seconds,
        rounds=args.rounds or usual.rounds,
    )


def _design(request: Request) -> Table:
    table = Table("level", "", box=None)
    for name in ("bodies", "users", "think_s", "shares"):
        table.add_row(name.replace("_", " "), ", ".join(f"{level}" for level in getattr(request, name)) or "none")
    table.add_row("rounds", str(request.rounds))
    table.add_row("trials", f"{request.num_trials:,}, about {request.expected_s:.0f} s in all")
    return table


def _told(study: Study) -> str:
    content = study.content
    rows = [("load", "asked/s", "good answers/s", "p50 ms", "p99 ms", "failed")]
    for each in content.analysis.figures:
        asked = "" if each.asked_per_s is None else f"{each.asked_per_s:,.0f}"
        quantiles = told(each.p50_ms, 1), told(each.p99_ms, 1)
        rows.append((each.cell.label, asked, told(each.goodput), *quantiles, failures_told(each)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    notes = [f"note: {sentence}" for sentence in content.caveats]
    report = f"report: {shlex.quote(str(study.out / 'report.html'))}"
    return "\n".join([*lines, "", *findings(content.analysis), *notes, "", report])
