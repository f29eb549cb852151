"""The recipe `cifar10_cnn` trained to its end on two cores: how right it is on the test part, and how long it took.

What was tuned, was tuned on other figures than the test part's; that is looked at by the run itself, once, at its end.

    python benchmarks/cifar10.py DATA [--run RUN] [--no-record]

DATA has cifar10/. `--run` tells of a run that has ended instead of training one:
pileus train cifar10_cnn --data DATA/cifar10 --workers 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import msgspec
from record import spread, write_record
from training_peers.arrays import written
from training_peers.rounds import pileus

from pileus.errors import UsageError
from pileus.operations.runs import find_run
from pileus.operations.train import TrainResult

RECIPE, WORKERS, CORES = "cifar10_cnn", 2, 2
TARGET = 0.9227
_PLACES = ("uri", "bundle", "report")


def trained(data: Path, folder: Path) -> str:
    """The URI of a new run."""
    records = written(str(data / "cifar10"), folder / "records")
    words = ("--data", records, "--workers", WORKERS, "--runs", folder / "runs")
    return str(pileus("train", RECIPE, *words, cores=CORES)["uri"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with cifar10/")
    parser.add_argument("--run", help="one that has ended")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = find_run(args.run or trained(args.data, Path(folder)), "runs")
        result, epochs, precision = directory.result(TrainResult), directory.epochs(), directory.plan().spec.precision
    if result is None or result.accuracy is None:
        raise UsageError(f"the run {args.run} has not ended; end it, or leave --run out.")
    reached = "reached" if result.accuracy >= TARGET else "not reached"
    figures = {
        "accuracy on the test part": f"{result.accuracy:.2%}",
        "target": f"{reached}: {TARGET:.2%} is asked for",
        "epochs": result.epochs,
        "training, s": result.train_s,
        "an epoch, s": spread([epoch.seconds for epoch in epochs]),
        "precision that auto chose": precision,
    }
    print(json.dumps(figures, indent=2))
    if not args.no_record:
        says = (
            f"The recipe `{RECIPE}` on all 50,000 training samples of CIFAR-10, {WORKERS} workers, exact all-reduce. "
            "Epochs differ in length by what else the machine had to do."
        )
        told = {name: value for name, value in msgspec.to_builtins(result).items() if name not in _PLACES}
        print(write_record("cifar10", figures, {"result": told}, says))


if __name__ == "__main__":
    main()
