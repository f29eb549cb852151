"""`pileus bench`: studies of what things cost on this machine."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, get_args

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
from pileus.bench.training import study as training
from pileus.bench.training.design import MAX_SECONDS, Design, strategies_by_name, usual_model
from pileus.bench.training.design import Request as TrainingRequest
from pileus.bench.training.design import design_of as training_design_of
from pileus.bench.training.findings import bytes_told, rate_told, ratio_told
from pileus.bench.training.findings import findings as findings_of_training
from pileus.bench.training.report import figures_document as training_document
from pileus.cli.bench_output import files_of, folder_of
from pileus.cli.commands import bench_engines, bench_fingerprints, bench_serving
from pileus.cli.console import Console
from pileus.cli.numbers import number
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

_TRAINING_EPILOG = """What training costs here: every way of agreeing, side by side on your own pictures. Each contender
(a model, a strategy, a number of workers) trains once in each round, in an order drawn anew and in fresh processes. A
worker has the same cores in all of them. OUT then has report.html (samples a second, speed against one worker in the
same round, where a step's time goes, bytes over the network), results.jsonl with a line a trial, and the rest.

examples:
  pileus bench training embedded:digits                         about ten minutes
  pileus bench training path/to/photos --out bench/photos
  pileus bench training mnist/ --model mnist_cnn lenet.toml --strategies all_reduce:exact all_reduce:fast
  pileus bench training mnist/ --workers 1 2 4 --rounds 3 --seconds 10
  pileus bench training cifar10/ --model resnet9 --steps 4 --set batch_size=128 --set microbatch_size=64
  pileus bench training mnist/ --dry-run                        the design and how long it takes, nothing else

What an engine cannot run is left out, and the report says why. A study that was stopped goes on with the same command
and --out. Nothing is learnt: the rate is tiny, and the weights are thrown away.
Exit code 0: done; 1: done, but trials failed; 2: impossible levels; 130: stopped, the trials done are kept."""

_count, _side, _seed = number(int, 1, MAX_IMAGES), number(int, 0, MAX_SIDE), number(int, 0, MAX_SEED)
_counted_s = number(float, 0.1, MAX_SECONDS)
_seconds, _latency = number(float, 0.1, MAX_DEADLINE_S), number(float, 0.0, MAX_LATENCY_MS)


def register(commands: Commands) -> None:
    parser = commands.add_parser("bench", description="Measure, and write a record folder.")
    studies = parser.add_subparsers(
        dest="study", required=True, metavar="reading|training|serving|engines|fingerprints"
    )
    reading = studies.add_parser("reading", description="The throughput study of reading.", epilog=_EPILOG)
    reading.add_argument("source", metavar="SOURCE", help="labelled images, as `pileus data show` takes them")
    reading.add_argument("--out", metavar="DIR", help="folder of the record (bench/reading-DATE-TIME)")
    _add_levels(reading)
    reading.add_argument("--repetitions", type=_count, metavar="N", default=3, help="of every combination (3)")
    reading.add_argument("--seed", type=_seed, metavar="N", default=0, help="of the order (0)")
    reading.add_argument("--deadline-s", type=_seconds, metavar="S", default=120.0, help="for one trial (120)")
    reading.add_argument("--dry-run", action="store_true", help="show the design and do nothing")
    reading.set_defaults(call=reading_call)
    _register_training(studies)
    bench_serving.register(studies)
    bench_engines.register(studies)
    bench_fingerprints.register(studies)


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


def _register_training(studies: Commands) -> None:
    parser = studies.add_parser("training", description="Strategies of training side by side.", epilog=_TRAINING_EPILOG)
    parser.add_argument("source", metavar="SOURCE", help="labelled images, as `pileus data show` takes them")
    parser.add_argument("--out", metavar="DIR", help="folder of the record (bench/training-DATE-TIME)")
    names = list(strategies_by_name())
    parser.add_argument("--model", nargs="+", metavar="M", help="recipes by name or file (one that suits the pictures)")
    parser.add_argument("--strategies", nargs="+", choices=names, metavar="S", default=names, help=", ".join(names))
    parser.add_argument("--workers", nargs="+", type=_count, metavar="N", help="numbers of workers (1, and one a core)")
    parser.add_argument("--engine", metavar="NAME[@ADDRESS]", default="local", help="where workers live (local)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of every spec")
    parser.add_argument("--steps", type=_count, metavar="N", default=32, help="batches of an epoch (32)")
    parser.add_argument("--seconds", type=_counted_s, metavar="S", default=5.0, help="counted in a trial, at least (5)")
    parser.add_argument("--rounds", type=_count, metavar="N", default=5, help="each with every contender once (5)")
    parser.add_argument("--deadline-s", type=_seconds, metavar="S", default=300.0, help="for one trial (300)")
    parser.add_argument("--dry-run", action="store_true", help="show the design and do nothing")
    parser.set_defaults(call=training_call)


def reading_call(args: argparse.Namespace, console: Console) -> int:
    source = open_source(args.source)
    usual = usual_for(source)
    request = _request(args, usual)
    trials = all_trials(request.factors)
    about_s = expected_s(request.factors, trials, usual.image_s)
    if args.dry_run:
        console.result({"request": request, "trials": trials, "expected_s": about_s}, _design(request.factors, about_s))
        return 0
    out = folder_of("reading", args.out)
    study = run_study(request, source, out, console)
    console.result({**files_of(out, "results.csv"), **figures_document(study.analysis)}, _told(study))
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


def training_call(args: argparse.Namespace, console: Console) -> int:
    source = open_source(args.source)
    request = TrainingRequest(
        source=args.source,
        models=tuple(args.model or (usual_model(source),)),
        strategies=tuple(args.strategies),
        workers=tuple(args.workers or dict.fromkeys((1, count_cores().usable))),
        engine=args.engine,
        settings=tuple(args.set),
        steps=args.steps,
        seconds=args.seconds,
        rounds=args.rounds,
        deadline_s=args.deadline_s,
    )
    if args.dry_run:
        design = training_design_of(request)
        about_s = design.expected_s(request, len(design.trials))
        document = {"request": request, "trials": design.trials, "skipped": design.skipped, "expected_s": about_s}
        console.result(document, _training_design(design, about_s))
        return 0
    out = folder_of("training", args.out)
    study = training.run_study(request, source, out, console)
    console.result({**files_of(out), **training_document(study.content)}, _training_told(study))
    return 1 if study.content.analysis.failed else 0


def _training_design(design: Design, about_s: float) -> Table:
    table = Table("contender", "", box=None)
    for contender in design.specs:
        table.add_row(contender.label, "")
    for each in design.skipped:
        table.add_row(each.contender.label, f"not run: {each.reason}")
    table.add_row("trials", f"{len(design.trials):,}, about {about_s:.0f} s in all")
    return table


def _training_told(study: training.Study) -> str:
    content = study.content
    rows = [("contender", "samples/s", "against one worker", "ms a step", "bytes a worker and step")]
    for each in content.analysis.figures:
        speed, sent = rate_told(each.samples_per_s), bytes_told(each.network_bytes)
        rows.append((each.contender.label, speed, ratio_told(each.speedup), f"{each.step_ms:.2f}", sent))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    notes = [f"note: {sentence}" for sentence in content.caveats]
    report = f"report: {shlex.quote(str(study.out / 'report.html'))}"
    return "\n".join([*lines, "", *findings_of_training(content.analysis), *notes, "", report])
