"""What saving costs the steps: a run that writes nothing, one that commits to memory, one that writes checkpoints too.

Two exact workers, a core each, with Adam, whose checkpoint is three times the weights. The state is copied between two
steps and written beside those that follow; so the cost has two parts, the copy, which the phases of a run tell, and
what the writer takes of cores and disk, which only the time of a whole run does. Checkpoints are asked for every second
here, which is far more often than anyone needs them.

    python benchmarks/checkpoint_cost.py DATA [--rounds 5] [--seconds 6] [--no-record]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from record import spread, write_record
from training_peers.arrays import written
from training_peers.rounds import Result, in_turn, ratios, reached

from pileus.bench.process import run_process
from pileus.bench.training.design import Request, spec_of
from pileus.bench.training.trial import Outcome, Task
from pileus.spec.run import RunSpec

SAVES = {
    "nothing": ("checkpoints.commit_s=null",),
    "to memory, every second": (),
    "to memory and disk, every second": ("checkpoints.every_s=1",),
}
SAMPLES = 24 * 1024
DEADLINE_S = 600.0
MOST = 0.95
"""Of the rate without saving: the target."""


def spec_for(settings: tuple[str, ...]) -> RunSpec:
    request = Request(source="", models=("mnist_cnn",), settings=("optimizer.name=adamw", *settings))
    return spec_of("mnist_cnn", "all_reduce:exact", 2, request)


def rate(spec: RunSpec, records: str, scratch: Path, seconds: float, number: int) -> Result:
    task = Task(spec=spec, records_uri=records, folder=str(scratch), seconds=seconds, cores=1)
    found = run_process("pileus.bench.training.trial", task, Outcome, DEADLINE_S)
    if isinstance(found, str):
        raise SystemExit(f"a run failed: {found}")
    stopped = found.phases_s.get("checkpoint", 0.0) / found.seconds
    return {"samples_per_s": found.samples_per_s, "stopped": stopped, "seconds": found.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with mnist/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="counted in a run, at least")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        records = written(str(args.data / "mnist"), scratch / "records", count=SAMPLES)
        contenders = {
            name: partial(rate, spec_for(settings), records, scratch, args.seconds) for name, settings in SAVES.items()
        }
        found = in_turn(contenders, args.rounds, "samples_per_s")
    figures: dict[str, Any] = {}
    for name in list(SAVES)[1:]:
        by_nothing = ratios(found[name], found["nothing"], "samples_per_s")
        figures[f"{name}: rate by that of saving nothing"] = spread(by_nothing)
        figures[f"{name}: share of the time that steps stand still"] = spread([one["stopped"] for one in found[name]])
        figures[f"target, {name}: at least {MOST:.0%} of the rate"] = reached(by_nothing, MOST)
    figures |= {f"{name}: samples/s": spread([one["samples_per_s"] for one in each]) for name, each in found.items()}
    print(json.dumps(figures, indent=2), flush=True)
    if not args.no_record:
        says = f"mnist_cnn with Adam, two exact workers, {SAMPLES:,} samples an epoch, a state of 6.5 MB."
        print(write_record("checkpoint-cost", figures, found, says))


if __name__ == "__main__":
    main()
