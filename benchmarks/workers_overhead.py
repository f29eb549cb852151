"""What a step costs beyond its arithmetic, by the number of workers: threads of the fake engine, local processes.

All workers share ONE core and every step has the same 64 microbatches of one digit each, so the arithmetic is the same
for any number of workers; what a step takes longer than with one worker is the price of their agreeing: messages,
sums, threads and processes that take turns. Exact all-reduce of `digits_cnn` (43,050 parameters).

    python benchmarks/workers_overhead.py [--rounds 5] [--seconds 3] [--no-record]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import spread, write_record
from training_peers.arrays import written
from training_peers.rounds import Result, Rounds, in_turn

from pileus.bench.process import run_process
from pileus.bench.training.design import Request, spec_of
from pileus.bench.training.trial import Outcome, Task
from pileus.measure.figures import COLOURS, painted
from pileus.spec.run import RunSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORKERS = {"fake": (1, 2, 4, 8, 16, 32, 64), "local": (1, 2, 4, 8, 16)}
MICROBATCHES = 64
SAMPLES = 16 * MICROBATCHES
DEADLINE_S = 600.0


def label(engine: str, workers: int) -> str:
    return f"{engine}, {workers} worker{'s' if workers > 1 else ''}"


def spec_for(engine: str, workers: int) -> RunSpec:
    settings = (f"batch_size={MICROBATCHES}", "microbatch_size=1", "lanes=1", "checkpoints.commit_s=null")
    request = Request(source="embedded:digits", models=("digits_cnn",), engine=engine, settings=settings)
    return spec_of("digits_cnn", "all_reduce:exact", workers, request)


def step(spec: RunSpec, records: str, scratch: Path, seconds: float, number: int) -> Result:
    task = Task(spec=spec, records_uri=records, folder=str(scratch), seconds=seconds, cores=1)
    found = run_process("pileus.bench.training.trial", task, Outcome, DEADLINE_S)
    if isinstance(found, str):
        raise SystemExit(f"{label(spec.engine.name, spec.workers)} failed: {found}")
    phases_ms = {name: 1e3 * value / found.steps for name, value in found.phases_s.items()}
    return {"step_ms": 1e3 * found.seconds / found.steps, "phases_ms": phases_ms, "start_s": found.start_s}


def overheads(found: Rounds, engine: str, workers: int) -> list[float]:
    """Milliseconds of a step beyond that of one worker, round by round."""
    pairs = zip(found[label(engine, workers)], found[label(engine, 1)], strict=True)
    return [many["step_ms"] - one["step_ms"] for many, one in pairs]


def picture(found: Rounds, counts: dict[str, list[int]]) -> bytes:
    """A PNG: every round's overhead, and the line of medians."""

    def draw(axes: Axes) -> None:
        for place, (engine, numbers) in enumerate(counts.items()):
            several = [workers for workers in numbers if workers > 1]
            values = [overheads(found, engine, workers) for workers in several]
            for workers, mine in zip(several, values, strict=True):
                axes.scatter([workers] * len(mine), mine, 14, color=COLOURS[place], alpha=0.5)
            medians = [spread(mine)["median"] for mine in values]
            axes.plot(several, medians, color=COLOURS[place], label=f"{engine} engine")
        axes.set_xscale("log", base=2)
        ticks = sorted({workers for numbers in counts.values() for workers in numbers if workers > 1})
        axes.set_xticks(ticks, [str(workers) for workers in ticks])
        axes.set(xlabel="workers on one core", ylabel="ms a step beyond that of one worker")
        axes.legend()

    return painted(draw, size=(7.0, 4.2))


def figures_of(found: Rounds, counts: dict[str, list[int]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for engine, numbers in counts.items():
        for workers in numbers:
            name = label(engine, workers)
            figures[f"{name}: ms a step"] = spread([each["step_ms"] for each in found[name]])
            if workers > 1:
                beyond = overheads(found, engine, workers)
                figures[f"{name}: ms beyond one worker"] = spread(beyond)
                figures[f"{name}: ms beyond, each worker"] = spread([value / workers for value in beyond])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="counted in a run, at least")
    parser.add_argument("--most", type=int, default=MICROBATCHES, help="workers")
    parser.add_argument("--picture", type=Path, help="write the picture there too")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    counts = {engine: [each for each in numbers if each <= args.most] for engine, numbers in WORKERS.items()}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        records = written("embedded:digits", scratch / "records", count=SAMPLES)
        contenders = {
            label(engine, workers): partial(step, spec_for(engine, workers), records, scratch, args.seconds)
            for engine, numbers in counts.items()
            for workers in numbers
        }
        found = in_turn(contenders, args.rounds, "step_ms")
    figures, image = figures_of(found, counts), picture(found, counts)
    print(json.dumps(figures, indent=2))
    if args.picture:
        args.picture.write_bytes(image)
    if not args.no_record:
        says = (
            f"digits_cnn, {MICROBATCHES} microbatches of one sample a step, exact all-reduce, all workers on one core. "
            "![Overhead on the number of workers](overhead.png)"
        )
        record = write_record("workers-overhead", figures, dict(found), says)
        (record / "overhead.png").write_bytes(image)
        print(record)


if __name__ == "__main__":
    main()
