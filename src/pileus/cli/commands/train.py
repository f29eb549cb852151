"""`pileus train`: from a recipe or a file to a bundle."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from pileus.cli.console import Console
from pileus.cli.runs_output import BarObserver, human_result
from pileus.operations.train import train
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.resolve import parse_setting, resolve, setting_names

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """examples:
  pileus train digits_cnn                                  scikit-learn's digits, a few seconds
  pileus train mnist_cnn --data mnist/ --workers 2         the idx files of MNIST, two processes
  pileus train photos_cnn --data photos/                   photographs of any sizes, a folder of them per class
  pileus train strokes_cnn --set epochs=4 --set optimizer.lr=1e-3
  pileus train my-spec.toml --data photos/                 a file of the same shape as a recipe

recipes: {recipes}

settings for --set:
{settings}

The weights are the same, bit for bit, for any engine and number of workers. Ctrl-C saves and stops;
`pileus runs resume RUN` goes on."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model and pack it in a bundle, with a report.",
        epilog=_EPILOG.format(recipes=", ".join(recipe_names()), settings=_wrapped(setting_names())),
    )
    parser.add_argument("recipe", metavar="RECIPE|FILE", help="a recipe's name, or a .toml or .json file")
    parser.add_argument("--data", metavar="SOURCE", help="labelled images: folder, idx, CIFAR, manifest, record set")
    parser.add_argument("--engine", metavar="NAME", help="where workers live: local (processes), fake (threads)")
    parser.add_argument("--workers", type=int, metavar="N", help="number of workers")
    parser.add_argument("--strategy", metavar="NAME", help="how workers agree: all_reduce, single")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of the spec")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
    parser.add_argument("--name", help="the run's name (default: recipe and time)")
    parser.set_defaults(call=_train)


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _train(args: argparse.Namespace, console: Console) -> int:
    flags = {
        ("data", "source"): args.data,
        ("engine", "name"): args.engine,
        ("workers",): args.workers,
        ("strategy", "name"): args.strategy,
    }
    settings = [(path, value) for path, value in flags.items() if value is not None]
    spec = resolve(load_recipe(args.recipe), [*settings, *map(parse_setting, args.set)])
    recipe = args.recipe.rpartition("/")[2].partition(".")[0]
    with console.progress("training", "images") as report:
        result = train(spec, runs=args.runs, name=args.name, recipe=recipe, observer=BarObserver(console, report))
    console.result(result, human_result(result))
    return 0
