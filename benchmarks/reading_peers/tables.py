"""What the rounds say: each peer's best setting, its speed, and Pileus's speed as a multiple of it."""

from __future__ import annotations

import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from reading_peers.compare import Result
from reading_peers.settings import PILEUS

COLUMNS = [
    "phase",
    "round",
    "task",
    "cores",
    "peer",
    "settings",
    "images",
    "seconds",
    "cpu_s",
    "startup_s",
    "images_per_s_core",
    "cpu_us",
    "mean_label",
    "shapes",
    "dtype",
]
TOLD = {
    "train": "Photographs, random resized crop and mirror",
    "evaluate": "Photographs, the middle",
    "cifar10": "CIFAR-10, padded crop and mirror",
    "mnist": "MNIST, padded crop and mirror",
}


def write_csv(path: Path, results: dict[str, list[Result]]) -> None:
    """One row a run; `results` by phase."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for phase, runs in results.items():
            for run in runs:
                plain = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in run.items()}
                writer.writerow(plain | {"phase": phase, "settings": json.dumps(run["settings"])})


class Best:
    """The runs of each (task, cores, peer) with the setting that has the greatest median."""

    def __init__(self, results: list[Result]) -> None:
        by_side: dict[tuple[str, int, str], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
        for result in results:
            side = result["task"], result["cores"], result["peer"]
            by_side[side][json.dumps(result["settings"])].append(result)
        self.runs = {side: max(of.values(), key=speed) for side, of in by_side.items()}

    def sides(self) -> list[tuple[str, int]]:
        return list(dict.fromkeys((task, cores) for task, cores, _ in sorted(self.runs)))

    def peers(self, task: str, cores: int) -> list[str]:
        """The fastest first; Pileus is not one."""
        names = [name for *side, name in self.runs if side == [task, cores] and name != PILEUS]
        return sorted(names, key=lambda name: -speed(self.runs[task, cores, name]))

    def ratios(self, task: str, cores: int, peer: str) -> list[float]:
        """Pileus's speed by the peer's, round by round."""
        pairs = zip(self.runs[task, cores, PILEUS], self.runs[task, cores, peer], strict=True)
        return [ours["images_per_s_core"] / theirs["images_per_s_core"] for ours, theirs in pairs]


def speed(runs: list[Result]) -> float:
    """Median images/s of a core."""
    return _median(runs, "images_per_s_core")


def markdown(best: Best) -> str:
    """A table for each task and number of cores."""
    return "\n\n".join(_table(best, task, cores) for task, cores in best.sides())


def _table(best: Best, task: str, cores: int) -> str:
    lines = [
        f"{TOLD[task]}, cores: {cores}",
        "",
        "| reader | images/s a core (min to max) | processor us an image | to the first batch, s "
        "| Pileus is faster by | best setting |",
        "|---|---|---|---|---|---|",
    ]
    for name in [PILEUS, *best.peers(task, cores)]:
        runs = best.runs[task, cores, name]
        speeds = [run["images_per_s_core"] for run in runs]
        ratio = statistics.median(best.ratios(task, cores, name))
        lines.append(
            f"| {name} | {speed(runs):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) | {_median(runs, 'cpu_us'):.1f} "
            f"| {_median(runs, 'startup_s'):.1f} | {ratio:.2f} | {_settings(runs[0]['settings'])} |"
        )
    return "\n".join(lines)


def _median(runs: list[Result], name: str) -> float:
    return statistics.median(float(run[name]) for run in runs)


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
