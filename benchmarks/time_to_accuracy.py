"""Fashion-MNIST to 90 %: seconds and epochs that each strategy with two workers needs, against plain PyTorch DDP.

The network is `mnist_cnn` everywhere, batch 128, SGD with momentum 0.9. A fixed tenth of the train part is held back,
the same samples for all, and only it decides: which learning rate each contender has (tried once, with a seed of their
own), and when 90 % are reached. The test part is looked at once, at the end, and decides nothing. Times are of training
alone: validation, start-up and packing are not in them.

    python benchmarks/time_to_accuracy.py DATA [--seeds 5] [--epochs 10] [--no-record]

Bytes are what went over the loopback interface in a whole run, which has one of its own, by its steps and workers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from record import spread, write_record
from training_peers.arrays import exported, written
from training_peers.rounds import Result, Rounds, in_turn, peer, pileus, say

from pileus.runs.directory import RunDirectory
from pileus.spec.job import EpochDone
from pileus.store import open_store

VALIDATION = 0.1
WORKERS, CORES, BATCH_SIZE = 2, 2, 128
TUNING_SEED = 1000
"""Of the runs that choose the rates; no run that counts has it."""
STRATEGIES = {
    "exact": ("strategy.name=all_reduce",),
    "fast": ("strategy.name=all_reduce", "strategy.mode=fast"),
    "server, sync": ("strategy.name=parameter_server", "strategy.mode=sync"),
    "server, stale": ("strategy.name=parameter_server", "strategy.mode=stale"),
    "server, async": ("strategy.name=parameter_server", "strategy.mode=async"),
    "local SGD": ("strategy.name=local_sgd",),
}
DDP = "plain DDP"
_NEVER = "never"


class Bench(NamedTuple):
    records: str
    arrays: Path
    scratch: Path
    epochs: int
    target: float


def ours(bench: Bench, strategy: Sequence[str], lr: float, seed: int) -> Result:
    settings = [
        *strategy,
        f"optimizer.lr={lr}",
        f"seed={seed}",
        f"epochs={bench.epochs}",
        f"data.validation={VALIDATION}",
        f"batch_size={BATCH_SIZE}",
        "schedule=constant",
    ]
    words = itertools.chain.from_iterable(("--set", pair) for pair in settings)
    place = ("--data", bench.records, "--runs", bench.scratch / "runs", "--workers", WORKERS)
    run = pileus("train", "mnist_cnn", *place, *words, cores=CORES)
    epochs = RunDirectory(open_store(run["uri"])).epochs()
    trained_s = [epoch.seconds - epoch.phases_s.get("validation", 0.0) for epoch in epochs]
    return _result(
        bench,
        trained_s,
        [epoch.validation_accuracy for epoch in epochs],
        samples=epochs[0].samples,
        test_accuracy=run["accuracy"],
        bytes_per_step=_per_step(run, run["steps"]),
        **_agreed(epochs),
    )


def theirs(bench: Bench, lr: float, seed: int) -> Result:
    words = ("--lr", lr, "--seed", seed, "--epochs", bench.epochs, "--batch-size", BATCH_SIZE, "--processes", WORKERS)
    run = peer("ddp", bench.arrays, *words, cores=CORES)
    epochs = run["epochs"]
    return _result(
        bench,
        [epoch["seconds"] for epoch in epochs],
        [epoch["validation_accuracy"] for epoch in epochs],
        samples=run["samples"],
        test_accuracy=run["test_accuracy"],
        bytes_per_step=_per_step(run, run["steps"] * len(epochs)),
        parameters=run["parameters"],
    )


def _result(
    bench: Bench, trained_s: list[float], accuracies: Sequence[float | None], *, samples: int, **more: Any
) -> Result:
    """Epochs and seconds to the target; infinite where it was not reached."""
    hit = next((at for at, held in enumerate(accuracies) if held is not None and held >= bench.target), None)
    return {
        "seconds": float("inf") if hit is None else sum(trained_s[: hit + 1]),
        "epochs": None if hit is None else hit + 1,
        "samples_per_s": samples * len(trained_s) / sum(trained_s),
        "validation_accuracy": accuracies,
        "epoch_s": trained_s,
        **more,
    }


def _per_step(run: Result, steps: int) -> float | None:
    """Sent for a worker a step."""
    return None if run["network_bytes"] is None else run["network_bytes"] / steps / WORKERS


def _agreed(epochs: Sequence[EpochDone]) -> dict[str, Any]:
    """What a strategy with servers counted itself."""
    told: dict[str, list[float]] = {}
    for epoch in epochs:
        for name, value in epoch.agreement.items():
            told.setdefault(name, []).append(value)
    return {"agreement": {name: sum(values) / len(values) for name, values in told.items()}}


def best_rates(bench: Bench, rates: Sequence[float]) -> dict[str, float]:
    """By contender: the rate with which it is soonest at the target, or where none is, the most accurate."""
    chosen = {}
    for name in (*STRATEGIES, DDP):
        tried = {rate: _run(bench, name, rate, TUNING_SEED) for rate in rates}
        chosen[name] = min(tried, key=lambda rate: _late(tried[rate]))
        told = ", ".join(f"{rate:g}: {_told_s(result['seconds'])}" for rate, result in tried.items())
        say(f"tuning {name}: {told}; chosen {chosen[name]:g}")
    return chosen


def _late(result: Result) -> tuple[float, float]:
    return result["seconds"], -max(held or 0.0 for held in result["validation_accuracy"])


def _run(bench: Bench, name: str, rate: float, seed: int) -> Result:
    return theirs(bench, rate, seed) if name == DDP else ours(bench, STRATEGIES[name], rate, seed)


def _told_s(seconds: float) -> str:
    return _NEVER if seconds == float("inf") else f"{seconds:.1f} s"


def figures_of(found: Rounds, rates: dict[str, float], target: float) -> dict[str, Any]:
    """A run that did not reach the target is counted as such and is in no spread of seconds."""
    figures: dict[str, Any] = {}
    parameters = found[DDP][0]["parameters"]
    for name, results in found.items():
        reached = [each for each in results if each["epochs"] is not None]
        figures[f"{name}: reached {100 * target:g} %"] = f"{len(reached)} of {len(results)} runs, lr {rates[name]:g}"
        if reached:
            figures[f"{name}: seconds"] = spread([each["seconds"] for each in reached])
            figures[f"{name}: epochs"] = spread([each["epochs"] for each in reached])
        figures[f"{name}: samples/s"] = spread([each["samples_per_s"] for each in results])
        figures[f"{name}: test accuracy after the last epoch"] = spread([each["test_accuracy"] for each in results])
        sent = [each["bytes_per_step"] for each in results if each["bytes_per_step"] is not None]
        if sent:
            figures[f"{name}: kB a step and worker"] = spread([size_bytes / 1e3 for size_bytes in sent])
            needed = 2 * 4 * parameters
            figures[f"{name}: by 2 x 4 x parameters"] = spread([size_bytes / needed for size_bytes in sent])
        both = [
            other["seconds"] / mine["seconds"]
            for mine, other in zip(results, found[DDP], strict=True)
            if mine["epochs"] is not None and other["epochs"] is not None
        ]
        if both and name != DDP:
            figures[f"{DDP} / {name}, seconds"] = spread(both)
    return figures


def _raw(found: Rounds) -> dict[str, list[Result]]:
    """JSON has no infinity."""
    return {
        name: [each | {"seconds": None if each["epochs"] is None else each["seconds"]} for each in results]
        for name, results in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with fashion-mnist/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="at most, of a run")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.025, 0.05, 0.1], help="to choose from")
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--source", help="another source than fashion-mnist/, to try the script")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        records = written(args.source or str(args.data / "fashion-mnist"), scratch / "records")
        arrays = exported(records, scratch / "arrays.npz", validation=VALIDATION)
        bench = Bench(records, arrays, scratch, args.epochs, args.target)
        rates = best_rates(bench, args.rates) if len(args.rates) > 1 else dict.fromkeys((*STRATEGIES, DDP), *args.rates)
        contenders = {name: partial(_run, bench, name, rates[name]) for name in (*STRATEGIES, DDP)}
        found = in_turn(contenders, args.seeds, "seconds")
    figures = figures_of(found, rates, args.target)
    print(json.dumps(figures, indent=2))
    if not args.no_record:
        chosen = "The rate of each was chosen" if len(args.rates) > 1 else "One rate was given to all"
        says = (
            f"mnist_cnn on Fashion-MNIST, batch {BATCH_SIZE}, {WORKERS} workers or processes on {CORES} cores, up to "
            f"{args.epochs} epochs. {chosen}, and the target is looked for, on a fixed tenth of the train part. A "
            "protocol needs 2 x 4 x parameters bytes of a worker and step where it pushes a gradient and pulls "
            "weights; ring all-reduce of two needs half of that."
        )
        print(write_record("time-to-accuracy", figures, {"rates": rates, "runs": _raw(found)}, says))


if __name__ == "__main__":
    main()
