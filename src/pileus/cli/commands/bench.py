"""`pileus bench`: studies of what things cost on this machine."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from rich.table import Table

from pileus.bench.reading.design import (
    MAX_IMAGES,
    MAX_LATENCY_MS,
    MAX_SEED,
    MAX_SIDE,
    NAMES,
    CacheState,
    Factors,
    Format,
    all_trials,
    expected_s,
    level_name,
    places_of,
)
from pileus.bench.reading.findings import caveats, findings
from pileus.bench.reading.report import figures_document
from pileus.bench.reading.request import MAX_DEADLINE_S, Request, Usual, usual_for
from pileus.bench.reading.study import Study, run_study
from pileus.cli.console import Console
from pileus.data.sources.open import open_source
from pileus.machine import count_cores

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """What reading costs here: files one by one against shards, by size of pictures, batch size, number of
batches, reader threads, cold and warm cache, and store. Every combination of the levels is tried, each repetition in
an order of its own and each trial in a fresh process. OUT then has report.html (costs of a batch and an image with
confidence intervals, speed on each parameter, what bounds each cell), results.csv with a row a trial, and the rest.

examples:
  pileus bench reading embedded:digits                          about two minutes
  pileus bench reading path/to/photos --out bench/photos
  pileus bench reading path/to/photos --pixels 0 128 224 --readers 1 2 4 --repetitions 5
  pileus bench reading path/to/photos --format shards --latency-ms 0 20 --cache cold
  pileus bench reading path/to/photos --remote s3://bucket/bench --latency-ms 0 20
  pileus bench reading path/to/photos --dry-run                 the design and how long it takes, nothing else

The sets that the levels need are written below OUT, used, and removed. Without --remote a latency is injected into
reads of local files, which the report says. A study that was stopped goes on with the same command and --out.
Exit code 0: done; 1: done, but trials failed; 2: impossible levels; 130: stopped, the trials done are kept."""


Number = TypeVar("Number", int, float)


def _number(kind: Callable[[str], Number], low: Number, high: Number) -> Callable[[str], Number]:
    """A type for argparse: numbers in [low, high]."""

    def parsed(text: str) -> Number:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"a number from {low:,g} to {high:,g} is needed (got {text!r})")

    return parsed


_count, _side, _seed = _number(int, 1, MAX_IMAGES), _number(int, 0, MAX_SIDE), _number(int, 0, MAX_SEED)
_seconds, _latency = _number(float, 0.1, MAX_DEADLINE_S), _number(float, 0.0, MAX_LATENCY_MS)


def register(commands: Commands) -> None:
    parser = commands.add_parser("bench", description="Measure, and write a record folder.")
    studies = parser.add_subparsers(dest="study", required=True, metavar="reading")
    reading = studies.add_parser("reading", description="The throughput study of reading.", epilog=_EPILOG)
    reading.add_argument("source", metavar="SOURCE", help="labelled images, as `pileus data show` takes them")
    reading.add_argument("--out", metavar="DIR", help="folder of the record (bench/reading-DATE-TIME)")
    _add_levels(reading)
    reading.add_argument("--repetitions", type=_count, metavar="N", default=3, help="of every combination (3)")
    reading.add_argument("--seed", type=_seed, metavar="N", default=0, help="of the order (0)")
    reading.add_argument("--deadline-s", type=_seconds, metavar="S", default=120.0, help="for one trial (120)")
    reading.add_argument("--dry-run", action="store_true", help="show the design and do nothing")
    reading.set_defaults(call=reading_call)


def _add_levels(reading: argparse.ArgumentParser) -> None:
    levels = reading.add_argument_group("levels", "one or more of each; the first is what others are compared with")
    formats, states = get_args(Format), get_args(CacheState)
    levels.add_argument("--format", nargs="+", choices=formats, default=list(formats), help="how images lie (both)")
    levels.add_argument(
        "--pixels", nargs="+", type=_side, metavar="N", help="stored side, 0: as they come (0; photographs 0 224)"
    )
    levels.add_argument("--batch-size", nargs="+", type=_count, metavar="N", help="images (16 64; small images 64 256)")
    levels.add_argument("--batches", nargs="+", type=_count, metavar="N", help="in a trial (2 8; small images 4 32)")
    levels.add_argument("--readers", nargs="+", type=_count, metavar="N", help="threads (1, and one a usable core)")
    levels.add_argument("--cache", nargs="+", choices=states, default=list(states), help="before a trial (both)")
    levels.add_argument(
        "--latency-ms", nargs="+", type=_latency, metavar="MS", default=[0.0], help="injected before each request (0)"
    )
    levels.add_argument("--remote", metavar="URI", help="a remote store to try beside this machine's files")


def reading_call(args: argparse.Namespace, console: Console) -> int:
    source = open_source(args.source)
    usual = usual_for(source)
    request = _request(args, usual)
    trials = all_trials(request.factors)
    about_s = expected_s(request.factors, trials, usual.image_s)
    if args.dry_run:
        console.result({"request": request, "trials": trials, "expected_s": about_s}, _design(request.factors, about_s))
        return 0
    out = Path(args.out or f"bench/reading-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}")
    study = run_study(request, source, out, console)
    document = {"out": str(out), "report": str(out / "report.html"), "results": str(out / "results.csv")}
    console.result({**document, **figures_document(study.analysis)}, _told(study))
    return 1 if study.analysis.failed else 0


def _request(args: argparse.Namespace, usual: Usual) -> Request:
    readers = args.readers if args.readers is not None else dict.fromkeys((1, count_cores().usable))
    factors = Factors(
        format=tuple(args.format),
        pixels=tuple(args.pixels or usual.pixels),
        batch_size=tuple(args.batch_size or usual.batch_size),
        batches=tuple(args.batches or usual.batches),
        readers=tuple(readers),
        cache=tuple(args.cache),
        store=places_of(args.latency_ms, remote=args.remote is not None),
        repetitions=args.repetitions,
        seed=args.seed,
    )
    return Request(source=args.source, remote=args.remote, deadline_s=args.deadline_s, factors=factors)


def _design(factors: Factors, about_s: float) -> Table:
    table = Table("factor", "levels", box=None)
    for name in NAMES:
        table.add_row(name, ", ".join(str(level_name(level)) for level in getattr(factors, name)))
    table.add_row("repetitions", str(factors.repetitions))
    table.add_row("trials", f"{factors.num_trials:,}: {factors.num_cells:,} combinations, about {about_s:.0f} s in all")
    table.add_row("images", f"{factors.num_images:,} at most in a trial")
    return table


def _told(study: Study) -> str:
    analysis = study.analysis
    warnings = [f"note: {sentence}" for sentence in caveats(analysis)]
    return "\n".join(
        [
            f"{analysis.trials} trials, {analysis.images:,} images counted",
            "",
            *findings(analysis),
            *warnings,
            "",
            f"report: {shlex.quote(str(study.out / 'report.html'))}",
            f"results: {shlex.quote(str(study.out / 'results.csv'))}",
        ]
    )
