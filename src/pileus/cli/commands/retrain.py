"""`pileus retrain`: learn from corrections, and promote only what is better."""

from __future__ import annotations

import argparse
import shlex

from pileus.bundles.registry import Registry
from pileus.cli.console import Console
from pileus.cli.runs_output import BarObserver
from pileus.measure.paired import Paired
from pileus.operations.retrain import NOT_BETTER, RULE, Retrained, Wanted, retrain
from pileus.spec.resolve import parse_setting

_EPILOG = f"""examples:
  pileus serve shared/digits --feedback corrections                 people correct answers
  pileus retrain shared/digits --feedback corrections --test mnist  trains as production was, with the corrections
  pileus retrain shared/digits --feedback corrections --test mnist --warm-start --set epochs=4 --set optimizer.lr=0.001
  pileus retrain shared/digits --feedback corrections --test mnist --data mnist --recipe drawn_digits --set epochs=5

Rule: {RULE}.
A fifth of the corrections, by the hash of the input, is held back from every training, to measure on.
What is not promoted is kept in the registry, with the reason (`pileus registry show REGISTRY`).

Exit codes: 0 promoted; {NOT_BETTER} trained and not better, so not promoted; 1 the work failed, or others changed
production meanwhile; 2 wrong usage; 130 interrupted."""

_SPLITS = ("test", "validation", "train", "all")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "retrain",
        help="train with corrections, promote what is better",
        description="Train with corrections, compare with production on a fixed test, promote only what is better.",
        epilog=_EPILOG,
    )
    parser.add_argument("registry", metavar="REGISTRY", help="folder or URI of the registry")
    parser.add_argument("--feedback", metavar="PLACE", required=True, help="what `pileus serve --feedback` keeps")
    parser.add_argument("--test", metavar="SOURCE", required=True, help="labelled images, the same each time")
    parser.add_argument("--split", choices=_SPLITS, default="test", help="the part of them to measure on (test)")
    parser.add_argument("--data", metavar="SOURCE", help="labelled images to train on (default: production's)")
    parser.add_argument("--recipe", metavar="RECIPE|FILE", help="how to train (default: as production was)")
    parser.add_argument("--weight", type=int, default=10, metavar="N", help="a correction counts as N samples (10)")
    parser.add_argument(
        "--warm-start", action="store_true", help="begin with production's weights (default: as its training began)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of the spec")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
    parser.add_argument("--name", help="the run's name (default: recipe and time)")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace, console: Console) -> int:
    wanted = Wanted(
        feedback=args.feedback,
        test=args.test,
        split=args.split,
        data=args.data,
        recipe=args.recipe,
        settings=tuple(map(parse_setting, args.set)),
        weight=args.weight,
        warm_start=args.warm_start,
    )
    with console.progress("training", "images") as report:
        observer = BarObserver(console, report)
        done = retrain(Registry(args.registry), wanted, runs=args.runs, name=args.name, observer=observer)
    console.result(done, _told(done))
    return 0 if done.promoted else NOT_BETTER


def _told(done: Retrained) -> str:
    place, run = shlex.quote(done.registry), shlex.quote(done.run)
    then = f"pileus registry rollback {place}  (to undo)" if done.promoted else f"pileus runs show {run}"
    held_back = "none held back yet" if done.held_back is None else _told_pair(done.held_back)
    return "\n".join(
        [
            f"candidate    {done.candidate[:16]} (run {done.run})",
            f"production   {done.former[:16]}",
            f"test         {_told_pair(done.test)}",
            f"corrections  {done.corrections_trained:,} of {done.corrections:,} learned; {held_back}",
            f"rule         {RULE}",
            f"{'promoted' if done.promoted else 'not promoted'}: {done.reason}",
            "",
            f"next: {then}",
        ]
    )


def _told_pair(pair: Paired) -> str:
    return (
        f"{pair.errors_after:,} errors in place of {pair.errors_before:,} in {pair.samples:,} "
        f"({pair.won:,} won, {pair.lost:,} lost, p = {pair.p_better:.2g})"
    )
