"""One trial: a run from a cold process to its bundle, as a user's command makes it.

    python -m pileus.bench.engines.trial < task.json

prints one line of JSON, an Outcome or {"error": ...}.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

import msgspec

from pileus.bench.engines.network import moved_bytes
from pileus.bench.engines.timed import Timed
from pileus.bench.process import answer
from pileus.bench.serving.sampling import Sampler
from pileus.engines.connect import connect
from pileus.machine import count_cores
from pileus.measure.classification import ClassFigures
from pileus.operations.evaluate import evaluate
from pileus.operations.train import TrainResult, train
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec
from pileus.store import open_store

_RUN = "trial"
_BY_K = "neighbours.json"


class Task(Spec, frozen=True, kw_only=True):
    """What a trial is told."""

    spec: RunSpec
    runs: str
    """URI below which the run is written."""
    asked_at: float
    """When its process was asked for, by the clock that all processes of the machine share."""


class Outcome(Spec, frozen=True, kw_only=True):
    """What a trial found."""

    total_s: float
    """From asking for the process until the bundle was there and the engine closed."""
    start_s: float
    """Of it: interpreter and imports, opening the records, and the engine until its workers could begin."""
    work_s: float
    """Of it: steps with their validation and checkpoints, or the search for neighbours."""
    accuracy: float
    """On the test part, by the bundle, as the classes below."""
    macro_f1: float
    classes: tuple[ClassFigures, ...]
    fingerprint: str
    peak_bytes: int
    """The most that this process and those below it held (RSS); pages that processes share count in each."""
    processes: int
    """The most at one time."""
    network_bytes: int
    """Over every interface of the machine meanwhile, loopback included, whoever sent them."""
    accuracy_by_k: tuple[float, ...]
    """Of 1, 2, ... neighbours, on the validation part; empty of other models."""


def measure(task: Task) -> Outcome:
    """WorkFailed where the run fails; UsageError and the like before it starts."""
    process_s, before = time.monotonic() - task.asked_at, moved_bytes()
    spec = task.spec
    with Sampler(os.getpid()) as sampler:
        engine = connect(spec.engine.name, address=spec.engine.address, cores=count_cores().usable)
        with contextlib.closing(Timed(engine)) as timed:
            result = train(spec, runs=task.runs, name=_RUN, engine=timed)
    total_s, network_bytes = time.monotonic() - task.asked_at, moved_bytes() - before
    measured = evaluate(result.bundle, spec.data.source).measured
    startup_s = result.phases_s.get("start-up", timed.map_start_s)
    return Outcome(
        total_s=total_s,
        start_s=process_s + result.phases_s["records"] + startup_s,
        work_s=result.train_s - timed.map_start_s,
        accuracy=measured.accuracy,
        macro_f1=measured.macro_f1,
        classes=tuple(measured.per_class),
        fingerprint=result.fingerprint,
        peak_bytes=max(each.rss_bytes for each in sampler.samples),
        processes=max(each.processes for each in sampler.samples),
        network_bytes=network_bytes,
        accuracy_by_k=_by_k(result),
    )


def _by_k(result: TrainResult) -> tuple[float, ...]:
    store = open_store(result.uri)
    if _BY_K not in store.list():
        return ()
    told = msgspec.json.decode(store.get(_BY_K).content, type=dict[str, object])
    by_k = msgspec.convert(told["accuracy_by_k"], dict[str, float])
    return tuple(by_k[str(k)] for k in range(1, len(by_k) + 1))


if __name__ == "__main__":
    sys.exit(answer(measure, Task))
