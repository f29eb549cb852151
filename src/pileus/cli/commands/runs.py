"""`pileus runs`: what runs there are, and what can be done with one."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from pileus.cli.console import Console
from pileus.cli.in_cluster import driven
from pileus.cli.runs_output import BarObserver, counted, human_result, told_difference
from pileus.engines.cluster.environment import read_cluster
from pileus.engines.ports import Engine
from pileus.errors import Damaged, UsageError
from pileus.operations.compare import compare_runs
from pileus.operations.runs import (
    Check,
    RunLine,
    describe_run,
    find_run,
    list_runs,
    verify_run,
)
from pileus.store import plain_place

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """examples:
  pileus runs list
  pileus runs show digits_cnn-20260101-120000-000
  pileus runs resume RUN --workers 4           go on, here with four workers: the weights are the same
  pileus runs resize RUN --workers 8           have a run under way go on with eight: the weights are the same
  pileus runs compare RUN RUN                  what differs, and the first step after which the weights do
  pileus runs plot RUN                         a page of what its workers and hosts use, also while it trains
  pileus runs verify RUN                       checkpoints, bundle, and that each sample was taken once an epoch

RUN is a name in --runs (default: runs), or the path or URI of a run."""


_MENDED_BY = {
    "user": " (data or settings)",
    "platform": " (machines, network or store)",
    "pileus": " (a fault of Pileus)",
}


def register(commands: Commands) -> None:
    parser = commands.add_parser("runs", help="runs", description="Look after runs.", epilog=_EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, call, text, num_runs in (
        ("list", _list, "every run and how it stands", 0),
        ("show", _show, "how a run stands and what befell it", 1),
        ("resume", _resume, "go on from the newest checkpoint that verifies", 1),
        ("resize", _resize, "have a run under way go on with another number of workers", 1),
        ("compare", _compare, "where two runs part ways", 2),
        ("verify", _verify, "check checkpoints, ledger and bundle", 1),
        ("plot", _plot, "draw what a run's workers and hosts use: processor, memory, network, disks", 1),
    ):
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if num_runs:
            verb.add_argument("run", metavar="RUN", nargs=num_runs, help="a run's name, path or URI")
        verb.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
        if name == "resume":
            verb.add_argument("--engine", metavar="NAME[@ADDRESS]", help="another engine than before")
            verb.add_argument("--workers", type=int, metavar="N", help="another number of workers")
            verb.add_argument("--device", metavar="NAME", help="another device than before: cpu, cuda, auto")
        elif name == "plot":
            verb.add_argument("--out", metavar="FILE", help="where the page goes (usage.html in the run)")
        elif name == "resize":
            verb.add_argument("--workers", type=int, metavar="N", required=True, help="the new number of workers")
        verb.set_defaults(call=call)


def _list(args: argparse.Namespace, console: Console) -> int:
    lines = list_runs(args.runs)
    table = Table("run", "state", "epochs", "accuracy", "workers", "engine", box=None)
    for line in lines:
        table.add_row(*_cells(line))
    nothing = f"no runs in {args.runs}; make one: pileus train digits_cnn"
    console.result(lines, table if lines else nothing)
    return 0


def _cells(line: RunLine) -> tuple[str, ...]:
    accuracy = "" if line.accuracy is None else f"{line.accuracy:.2%}"
    return line.run, line.state, f"{line.epochs_done}/{line.epochs}", accuracy, str(line.workers), line.engine


def _show(args: argparse.Namespace, console: Console) -> int:
    line = describe_run(find_run(args.run[0], args.runs))
    placed = f"{counted(line.workers, 'worker')} on {line.engine}"
    human = [
        f"{line.run}: {line.state}, {line.epochs_done}/{line.epochs} epochs, {placed}",
        *([f"{line.state}: {line.reason}{_MENDED_BY.get(line.blame, '')}"] if line.reason else []),
        *([f"accuracy {line.accuracy:.2%} on the test part"] if line.accuracy is not None else []),
        *line.story,
        "",
        f"next: pileus {'serve' if line.state == 'done' else 'runs resume'} {shlex.quote(plain_place(line.uri))}",
    ]
    console.result(line, "\n".join(human))
    return 0


def _resume(args: argparse.Namespace, console: Console) -> int:
    directory = find_run(args.run[0], args.runs)
    if (args.engine or directory.plan().spec.engine.name) != "cluster":
        return _resumed(console, directory.uri, args, args.engine, args.workers)
    cluster = read_cluster()
    with driven(cluster) as engine:
        return _resumed(console, directory.uri, args, engine, args.workers or len(cluster.workers))


def _resumed(
    console: Console, uri: str, args: argparse.Namespace, engine: str | Engine | None, workers: int | None
) -> int:
    from pileus.operations.train import resume  # noqa: PLC0415 - only what trains needs torch

    with console.progress("training", "images") as report:
        observer = BarObserver(console, report)
        result = resume(uri, engine=engine, workers=workers, device=args.device, observer=observer)
    console.result(result, human_result(result))
    return 0


def _resize(args: argparse.Namespace, console: Console) -> int:
    from pileus.operations.train import resize  # noqa: PLC0415 - only what trains needs torch

    directory = find_run(args.run[0], args.runs)
    resized = resize(directory, args.workers)
    show = f"pileus runs show {shlex.quote(directory.place)}"
    console.result(resized, f"asked {resized.run} to go on with {counted(resized.workers, 'worker')}; see: {show}")
    return 0


def _compare(args: argparse.Namespace, console: Console) -> int:
    first, second = (find_run(run, args.runs) for run in args.run)
    difference = compare_runs(first, second)
    console.result(difference, told_difference(difference))
    return 0


def _verify(args: argparse.Namespace, console: Console) -> int:
    check = verify_run(find_run(args.run[0], args.runs))
    console.result(check, _told_check(check))
    return Damaged.exit_code if check.faults else 0


def _plot(args: argparse.Namespace, console: Console) -> int:
    from pileus.operations.usage import PAGE_KEY, usage_page  # noqa: PLC0415 - draws, by the extra train

    directory = find_run(args.run[0], args.runs)
    page = usage_page(directory)
    if args.out is None:
        directory.store.put(PAGE_KEY, page.encode())
        place = f"{directory.place}/{PAGE_KEY}"
    else:
        place = args.out
        try:
            Path(place).expanduser().write_text(page, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{place} cannot be written ({error.strerror or error}); name another --out.") from error
    console.result({"page": place}, f"drawn: {place}")
    return 0


def _told_check(check: Check) -> str:
    if check.faults:
        return "\n".join([f"{check.run}: damaged", *check.faults])
    bundle = f", bundle {check.bundle}" if check.bundle else ""
    return (
        f"{check.run}: {check.checkpoints} checkpoints verify{bundle}; "
        f"the ledger shows each sample exactly once in each of {check.epochs_proved} epochs"
    )
