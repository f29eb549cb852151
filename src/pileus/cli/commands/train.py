"""`pileus train`: from a recipe or a file to a bundle."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from pileus.cli.console import Console
from pileus.cli.in_cluster import driven, served
from pileus.cli.runs_output import BarObserver, human_result
from pileus.engines.cluster.environment import read_cluster
from pileus.engines.ports import Engine
from pileus.operations.train import train
from pileus.recipes.load import load_recipe, recipe_names
from pileus.spec.resolve import parse_setting, resolve, setting_names, split_engine
from pileus.spec.run import STRATEGIES, RunSpec

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EPILOG = """examples:
  pileus train digits_cnn                                  scikit-learn's digits, a few seconds
  pileus train mnist_cnn --data mnist/ --workers 2         the idx files of MNIST, two processes
  pileus train photos_cnn --data photos/                   photographs of any sizes, a folder of them per class
  pileus train strokes_cnn --set epochs=4 --set optimizer.lr=1e-3
  pileus train my-spec.toml --data photos/                 a file of the same shape as a recipe
  pileus train mnist_cnn --data mnist/ --workers 4 --engine ray        actors of a Ray cluster of our own
  pileus train mnist_cnn --data s3://b/mnist --runs s3://b/runs --engine dask@tcp://head:8786
  pileus train mnist_cnn --data s3://b/mnist --runs s3://b/runs --engine cluster
                                                           on each host of a cluster; see pileus cluster --help

recipes: {recipes}

settings for --set:
{settings}

With exact all_reduce (the default) and the synchronous parameter_server the weights are the same, bit for bit, for any
engine and number of workers. Ctrl-C saves and stops; `pileus runs resume RUN` goes on."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model and pack it in a bundle, with a report.",
        epilog=_EPILOG.format(recipes=", ".join(recipe_names()), settings=_wrapped(setting_names())),
    )
    parser.add_argument("recipe", metavar="RECIPE|FILE", help="a recipe's name, or a .toml or .json file")
    parser.add_argument("--data", metavar="SOURCE", help="labelled images: folder, idx, CIFAR, manifest, record set")
    parser.add_argument(
        "--engine",
        metavar="NAME[@ADDRESS]",
        help="where workers live: local (processes), ray, dask, spark (an own one, or NAME@ADDRESS of one that is "
        "there), cluster (hosts of TF_CONFIG), fake (threads)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of workers")
    parser.add_argument("--strategy", metavar="NAME", help=f"how workers agree: {', '.join(STRATEGIES)}")
    parser.add_argument("--device", metavar="NAME", help="where networks compute: cpu (default), cuda, auto")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set one value of the spec")
    parser.add_argument("--runs", default="runs", metavar="URI", help="where runs are kept (default: runs)")
    parser.add_argument("--name", help="the run's name (default: recipe and time)")
    parser.set_defaults(call=_train)


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _train(args: argparse.Namespace, console: Console) -> int:
    flags = {
        ("data", "source"): args.data,
        ("workers",): args.workers,
        ("device",): args.device,
        ("strategy", "name"): args.strategy,
    }
    settings = [(path, value) for path, value in flags.items() if value is not None]
    if args.engine:
        name, address = split_engine(args.engine)
        settings += [(("engine", "name"), name), (("engine", "address"), address)]
    settings += map(parse_setting, args.set)
    recipe = load_recipe(args.recipe)
    spec = resolve(recipe, settings)
    if spec.engine.name != "cluster":
        return _trained(args, console, spec, None)
    cluster = read_cluster()
    if not cluster.is_chief:
        return served(cluster, spec.engine.start_deadline_s, console)
    spec = resolve(recipe, [(("workers",), len(cluster.workers)), *settings])
    cluster.check(spec)
    with driven(cluster) as engine:
        return _trained(args, console, spec, engine)


def _trained(args: argparse.Namespace, console: Console, spec: RunSpec, engine: Engine | None) -> int:
    recipe = args.recipe.rpartition("/")[2].partition(".")[0]
    with console.progress("training", "images") as report:
        observer = BarObserver(console, report)
        result = train(spec, runs=args.runs, name=args.name, recipe=recipe, engine=engine, observer=observer)
    console.result(result, human_result(result))
    return 0
