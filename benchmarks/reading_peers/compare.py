"""Runs jobs as fresh processes on chosen cores: every setting a little first, the fastest in rounds afterwards.

Whatever is compared is run in an order drawn anew in each round, so that a drift of the machine meets all.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from reading_peers.job import PHOTOGRAPHS, SIDE, Job, Task
from reading_peers.settings import PEERS, PILEUS, Peer, Settings

BENCHMARKS = Path(__file__).parents[1]
DEADLINE_S = 300.0
FINALISTS = 2
"""Settings of each peer that go into the rounds: what was fastest once may have been lucky."""
MEAN_LABEL: dict[Task, float] = {"train": 2.0, "evaluate": 2.0, "cifar10": 4.5, "mnist": 4.45}
SHAPE: dict[Task, tuple[int, ...]] = {
    "train": (SIDE, SIDE, 3),
    "evaluate": (SIDE, SIDE, 3),
    "cifar10": (32, 32, 3),
    "mnist": (28, 28, 1),
}
Result = dict[str, Any]


class Bench(NamedTuple):
    data: Path
    peers_python: str
    records: dict[Task, int]
    """Images of an epoch."""


class Entry(NamedTuple):
    peer: Peer
    task: Task
    cores: int
    settings: Settings

    @property
    def batch_size(self) -> int:
        return 64 if self.task in PHOTOGRAPHS else 512

    @property
    def side(self) -> tuple[str, str, int]:
        """What is compared with its like, settings apart."""
        return self.peer.name, self.task, self.cores


def entries(tasks: Iterable[Task], cores: Iterable[int], peers: Iterable[str]) -> list[Entry]:
    """All settings. Pileus is always among them."""
    names = {PILEUS, *peers}
    return [
        Entry(peer, task, count, settings)
        for task in tasks
        for count in cores
        for peer in PEERS
        if peer.name in names and task in peer.tasks
        for settings in peer.tried(count)
    ]


def in_turn(
    bench: Bench, compared: list[Entry], rounds: int, *, part: float, say: Callable[[str], None]
) -> list[Result]:
    """Each entry once in every round, over `part` of the images."""
    results = []
    for number in range(rounds):
        for entry in random.sample(compared, len(compared)):
            result = run(bench, entry, part)
            say(told(result))
            results.append(result | {"round": number})
    return results


def run(bench: Bench, entry: Entry, part: float) -> Result:
    """One fresh process. RuntimeError where it fails, is late, or gives other than it should."""
    steps = bench.records[entry.task] // entry.batch_size
    images = max(1, round(steps * entry.peer.epochs * part)) * entry.batch_size
    job = Job(str(bench.data), entry.task, entry.batch_size, min(10, steps // 4), images, entry.settings)
    ours = entry.peer.name == PILEUS
    places = [BENCHMARKS, BENCHMARKS.parent / "src"] if ours else [BENCHMARKS]
    cores = sorted(os.sched_getaffinity(0))[: entry.cores]
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable if ours else bench.peers_python]
    done = subprocess.run(
        [*command, "-W", "ignore", "-m", f"reading_peers.{entry.peer.module}", json.dumps(job._asdict())],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places)), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        raise RuntimeError(f"{entry.side} with {entry.settings} failed: {done.stderr.strip().splitlines()[-1:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    check(entry, result, part)
    return result | {
        "peer": entry.peer.name,
        "task": entry.task,
        "cores": entry.cores,
        "images_per_s_core": result["images"] / result["seconds"] / entry.cores,
        "cpu_us": result["cpu_s"] / result["images"] * 1e6,
    }


def check(entry: Entry, result: Result, part: float) -> None:
    """Shape in either order of axes, and labels from all over the set. The fewer images, the wider the bound."""
    shapes = [tuple(sorted(shape)) for shape in result["shapes"]]
    if shapes != [tuple(sorted(SHAPE[entry.task]))]:
        raise RuntimeError(f"{entry.side} gave images of {result['shapes']}, not of {SHAPE[entry.task]}.")
    if result["dtype"] != entry.settings.get("dtype", "uint8"):
        raise RuntimeError(f"{entry.side} gave {result['dtype']}.")
    if abs(result["mean_label"] - MEAN_LABEL[entry.task]) > (0.1 if part == 1 else 0.5):
        raise RuntimeError(f"{entry.side} gave labels of mean {result['mean_label']:.2f}: it did not read all classes.")


def finalists(compared: list[Entry], tried: list[Result]) -> list[Entry]:
    """The fastest settings of each peer, task and number of cores."""
    chosen = []
    for side in dict.fromkeys(entry.side for entry in compared):
        mine = [result for result in tried if (result["peer"], result["task"], result["cores"]) == side]
        mine.sort(key=lambda result: -result["images_per_s_core"])
        best = [result["settings"] for result in mine[:FINALISTS]]
        chosen += [entry for entry in compared if entry.side == side and entry.settings in best]
    return chosen


def told(result: Result) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    return (
        f"{result['task']:8} {result['cores']} cores  {result['images_per_s_core']:8.0f}/s a core "
        f"{result['cpu_us']:7.1f} us  {result['peer']}: {settings}"
    )
