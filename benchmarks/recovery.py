"""How soon a run goes on: after SIGKILL of a worker, and when it is taken up again from disk.

Default settings, two workers, scikit-learn's digits, whose epochs of some 20 steps take about a tenth of a second. What
is timed ends with the first whole epoch, so it is more than the time to the first step by less than such an epoch.

    python benchmarks/recovery.py [--rounds 5] [--no-record]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from typing import NamedTuple

import psutil
from record import spread, write_record

from pileus.engines.connect import connect
from pileus.engines.ports import Engine, GangEvent
from pileus.errors import WorkFailed
from pileus.operations.train import resume, train
from pileus.operations.trials.watched import Watched
from pileus.recipes.load import load_recipe
from pileus.runs.directory import RunDirectory
from pileus.runs.life.events import Lost
from pileus.spec.job import EpochDone, Fault
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from pileus.store import open_store

_DEADLINE_S = 300.0
_EPOCHS = 60
_KILL_AFTER_EPOCH = 20
_FAIL_AT_STEP = 600


class Recovered(NamedTuple):
    """Seconds from the signal."""

    loss_heard_s: float
    gang_asked_for_s: float
    epoch_done_s: float
    epochs_redone: int
    """Begun again, of those that were done: what followed the last commit to memory."""


class _Killer:
    """Kills a worker when an epoch is done, and notes what follows."""

    def __init__(self) -> None:
        self.killed_at = self.heard_at = self.asked_at = self.done_at = 0.0
        self.last = self.first = -1

    def heard(self, event: GangEvent) -> None:
        now = time.monotonic()
        if isinstance(event, Lost) and not self.heard_at:
            self.heard_at = now
        elif isinstance(event, EpochDone) and not self.asked_at:
            self.last = event.epoch
            if event.epoch == _KILL_AFTER_EPOCH:
                self.killed_at = now
                _a_worker().kill()
        elif isinstance(event, EpochDone) and not self.done_at:
            self.done_at, self.first = now, event.epoch

    def launching(self, number: int) -> None:
        if number == 2:
            self.asked_at = time.monotonic()

    def told(self) -> Recovered:
        since = self.killed_at
        return Recovered(
            self.heard_at - since, self.asked_at - since, self.done_at - since, max(0, self.last - self.first + 1)
        )


def _a_worker() -> psutil.Process:
    return next(each for each in psutil.Process().children(recursive=True) if not each.children())


def recover(engine: Engine, spec: RunSpec, runs: str, name: str) -> Recovered:
    killer = _Killer()
    watched = Watched(engine, time.monotonic() + _DEADLINE_S, killer.heard, killer.launching)
    result = train(spec, runs=runs, name=name, engine=watched)
    assert result.restarts == 1
    return killer.told()


def resume_from_disk(engine: Engine, place: str) -> float:
    """Seconds to the end of the first epoch that is trained."""
    began, done_at = time.monotonic(), 0.0

    def heard(event: GangEvent) -> None:
        nonlocal done_at
        if isinstance(event, EpochDone) and not done_at:
            done_at = time.monotonic()

    resume(place, engine=Watched(engine, began + _DEADLINE_S, heard))
    return done_at - began


def failed_run(engine: Engine, spec: RunSpec, runs: str, name: str) -> str:
    """Place of a run that ended in the middle."""
    with contextlib.suppress(WorkFailed):
        train(spec, runs=runs, name=name, engine=engine, faults=(Fault(kind="raise", rank=0, step=_FAIL_AT_STEP),))
    place = f"{runs}/{name}"
    assert RunDirectory(open_store(place)).events()[-1].kind == "failed"
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    spec = resolve(load_recipe("digits_cnn"), [parse_setting(pair) for pair in ("workers=2", f"epochs={_EPOCHS}")])
    recovered, warm, fresh = [], [], []
    with tempfile.TemporaryDirectory() as runs, contextlib.closing(connect("local")) as engine:
        for number in range(args.rounds):
            recovered.append(recover(engine, spec, runs, f"killed-{number}"))
            warm.append(resume_from_disk(engine, failed_run(engine, spec, runs, f"failed-{number}")))
            place = failed_run(engine, spec, runs, f"failed-anew-{number}")
            with contextlib.closing(connect("local")) as another:
                fresh.append(resume_from_disk(another, place))
            print(recovered[-1], f"from disk: {warm[-1]:.2f} s, {fresh[-1]:.2f} s with a fresh engine", flush=True)
    figures = {
        "SIGKILL to the first epoch, s": spread([each.epoch_done_s for each in recovered]),
        "SIGKILL to its being heard of, s": spread([each.loss_heard_s for each in recovered]),
        "SIGKILL to the next gang's being asked for, s": spread([each.gang_asked_for_s for each in recovered]),
        "epochs done again": spread([each.epochs_redone for each in recovered]),
        "taken up from disk to the first epoch, s": spread(warm),
        "the same with a fresh engine, s": spread(fresh),
    }
    print(json.dumps(figures, indent=2))
    if not args.no_record:
        raw = {"recovered": [each._asdict() for each in recovered], "from disk": warm, "fresh engine": fresh}
        says = "Two workers, digits_cnn, default settings: a worker is killed; a run that failed is taken up from disk."
        print(write_record("recovery", figures, raw, says))


if __name__ == "__main__":
    main()
