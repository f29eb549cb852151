"""The engines that place against `local`, step by step, and against their libraries' own trainers, from cold.

Steps: exact all-reduce on `mnist_cnn`, two workers of one core each; seconds a step past the start and the first epoch.

Whole: the same network, pictures, batches, optimiser and epochs by `pileus train --engine E` and by E's own trainer:
Ray Train's TorchTrainer, Spark's TorchDistributor, a plain Dask client whose tasks make a process group. Each is a cold
process with a cluster of its own. Start-up is from the command to the first step, the total to the trained weights.

    python benchmarks/engines_against_trainers.py MNIST [--rounds 2] [--epochs 2] [--engines ray dask spark]
        [--parts steps whole] [--on-driver] [--no-record]

Contenders alternate within each round, in drawn order. MNIST is a folder of idx files.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine_trainers.cold import BATCH_SIZE, Work, lay_beside, ours, theirs
from record import spread, write_record
from training_peers.arrays import exported, written
from training_peers.rounds import Result, Rounds, in_turn, ratios

from pileus.bench.process import run_process
from pileus.bench.training.design import Request, spec_of
from pileus.bench.training.trial import Outcome, Task
from pileus.measure.figures import COLOURS, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORKERS = 2
STEPS_OF_EPOCH = 64
TRIAL_DEADLINE_S = 300.0
MOST_OVERHEAD, MOST_START, MOST_TOTAL = 1.05, 1.0, 0.8
"""Targets: seconds a step by those of `local`, start-up and total by those of the trainer."""


class Trainer(NamedTuple):
    title: str
    module: str


TRAINERS = {
    "ray": Trainer("Ray Train", "ray_train"),
    "dask": Trainer("Dask client", "dask_client"),
    "spark": Trainer("TorchDistributor", "torch_distributor"),
}


def step(engine: str, records: str, scratch: Path, seconds: float, number: int) -> Result:
    """One run, each worker on a core of its own. Nothing is kept in memory: of hosts nobody's outlives them."""
    request = Request(source=records, models=("mnist_cnn",), engine=engine, settings=("checkpoints.commit_s=null",))
    spec = spec_of("mnist_cnn", "all_reduce:exact", WORKERS, request)
    task = Task(spec=spec, records_uri=records, folder=str(scratch), seconds=seconds, cores=1)
    found = run_process("pileus.bench.training.trial", task, Outcome, TRIAL_DEADLINE_S)
    if isinstance(found, str):
        raise SystemExit(f"a trial of engine {engine} failed: {found}")
    phases_ms = {name: 1e3 * value / found.steps for name, value in found.phases_s.items()}
    return {"step_ms": 1e3 * found.seconds / found.steps, "phases_ms": phases_ms, "steps": found.steps}


def steps(args: argparse.Namespace, scratch: Path) -> Rounds:
    records = written(str(args.data), scratch / "steps", count=STEPS_OF_EPOCH * BATCH_SIZE)
    contenders = {name: partial(step, name, records, scratch, args.seconds) for name in ("local", *args.engines)}
    return in_turn(contenders, args.rounds, "step_ms")


def whole(args: argparse.Namespace, scratch: Path) -> Rounds:
    """Ours by the engine's name, theirs by the trainer's title."""
    lay_beside()
    records = written(str(args.data), scratch / "records")
    work = Work(records, exported(records, scratch / "mnist.npz"), scratch, WORKERS, args.epochs)
    contenders = {name: partial(ours, work, name) for name in args.engines}
    for name in args.engines:
        own = {"on_driver": args.on_driver} if name == "spark" else {}
        contenders[TRAINERS[name].title] = partial(theirs, work, TRAINERS[name].module, own)
    return in_turn(contenders, args.rounds, "total_s")


def held(values: list[float], limit: float) -> str:
    """Whether the median is at most the limit."""
    found = spread(values)
    verdict = "reached" if found["median"] <= limit else "not reached"
    return f"{verdict}: {found['median']:.3f} ({found['min']:.3f} to {found['max']:.3f}), at most {limit:g} asked for"


def figures_of(engines: list[str], stepped: Rounds, trained: Rounds) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in engines:
        if stepped:
            figures[f"target: {name} / local, a step"] = held(
                ratios(stepped[name], stepped["local"], "step_ms"), MOST_OVERHEAD
            )
        if trained:
            title = TRAINERS[name].title
            for figure, told, limit in (("start_s", "start-up", MOST_START), ("total_s", "total", MOST_TOTAL)):
                values = ratios(trained[name], trained[title], figure)
                figures[f"target: {name} / {title}, {told}"] = held(values, limit)
    figures |= {f"{name}, ms a step": spread([one["step_ms"] for one in each]) for name, each in stepped.items()}
    for name, each in trained.items():
        for figure, told in (("start_s", "start-up, s"), ("total_s", "total, s"), ("command_s", "whole command, s")):
            figures[f"{name}, {told}"] = spread([one[figure] for one in each])
        figures[f"{name}, accuracy on the test part"] = spread([one["accuracy"] for one in each])
    return figures


def tables(engines: list[str], stepped: Rounds, trained: Rounds) -> str:
    """Medians, in Markdown."""

    def median(each: list[Result], figure: str) -> float:
        return spread([one[figure] for one in each])["median"]

    lines: list[str] = []
    if stepped:
        lines += ["| engine | ms a step | / local |", "|---|---|---|"]
        for name, each in stepped.items():
            ratio = spread(ratios(each, stepped["local"], "step_ms"))["median"]
            lines.append(f"| {name} | {median(each, 'step_ms'):.2f} | {ratio:.3f} |")
        lines.append("")
    if trained:
        lines += ["| | start-up, s | total, s | accuracy | start-up, ours / theirs | total, ours / theirs |"]
        lines += ["|---|---|---|---|---|---|"]
        for name in engines:
            title = TRAINERS[name].title
            for one, each in ((f"Pileus, {name}", trained[name]), (title, trained[title])):
                cells = [f"{median(each, 'start_s'):.1f}", f"{median(each, 'total_s'):.1f}"]
                cells.append(f"{median(each, 'accuracy'):.2%}")
                for figure in ("start_s", "total_s"):
                    ratio = spread(ratios(trained[name], trained[title], figure))["median"]
                    cells.append(f"{ratio:.2f}" if one != title else "")
                lines.append(f"| {one} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(engines: list[str], trained: Rounds) -> bytes:
    """A PNG: every round's start-up and total, a bar of medians for each contender."""
    names = [one for name in engines for one in (name, TRAINERS[name].title)]

    def draw(axes: Axes) -> None:
        for place, name in enumerate(reversed(names)):
            start, total = (spread([one[figure] for one in trained[name]]) for figure in ("start_s", "total_s"))
            left = 0.0
            for part, (colour, until) in enumerate(zip(COLOURS, (start["median"], total["median"]), strict=False)):
                label = ("start-up", "training")[part] if place == 0 else None
                axes.barh(place, until - left, left=left, height=0.6, color=colour, label=label)
                left = until
            for figure in ("start_s", "total_s"):
                axes.scatter([one[figure] for one in trained[name]], [place] * len(trained[name]), 10, color="#333333")
        told = [f"Pileus, {name}" if name in engines else name for name in reversed(names)]
        axes.set_yticks(range(len(names)), told)
        axes.set(xlabel="seconds since the command")
        axes.legend()

    return painted(draw, size=(7.0, 3.6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="MNIST", help="folder of idx files")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2, help="of the whole")
    parser.add_argument("--seconds", type=float, default=5.0, help="counted in a run, at least; of the steps")
    parser.add_argument("--engines", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--parts", nargs="+", choices=("steps", "whole"), default=["steps", "whole"])
    parser.add_argument("--on-driver", action="store_true", help="TorchDistributor by local_mode: no tasks of Spark")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:WORKERS])
    with tempfile.TemporaryDirectory() as folder:
        stepped = steps(args, Path(folder)) if "steps" in args.parts else {}
        trained = whole(args, Path(folder)) if "whole" in args.parts else {}
    figures, table = figures_of(args.engines, stepped, trained), tables(args.engines, stepped, trained)
    print(json.dumps(figures, indent=2), table, sep="\n\n")
    if args.no_record:
        return
    says = (
        f"mnist_cnn, {WORKERS} workers of one core. Steps: exact all-reduce in fp32, batches of {BATCH_SIZE}. Whole: "
        f"{args.epochs} epochs of MNIST's 60,000 images, from a cold process and with an own cluster on either side; "
        f"batches of {BATCH_SIZE} by both workers together, SGD, fp32. Ours reads records, the trainers have arrays in "
        "memory as floats; both are written beforehand. The trainers' workers have one thread each and a DataLoader "
        "without processes of its own; their clusters serve no dashboard. Accuracy is that of the test part, looked at "
        "after the total.\n\n" + table
    )
    if trained:
        says += "\n\n![Start-up and total](trainers.png)"
    record = write_record(
        "engines-trainers" if trained else "engines-steps", figures, {"steps": stepped, "whole": trained}, says
    )
    if trained:
        (record / "trainers.png").write_bytes(picture(args.engines, trained))
    print(record)


if __name__ == "__main__":
    main()
