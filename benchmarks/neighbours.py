"""Exact nearest neighbours by Pileus, scikit-learn, faiss and scikit-learn-intelex: the same pixels and cores.

The whole training part is searched for the neighbours of the whole test part. First every setting of a peer
(`neighbours_peers/settings.py`) is tried with a part of the questions; its quickest goes into the rounds, each a fresh
process, in drawn order. Time is of taking the images in and of searching, from arrays in memory. Ours are compared with
the plain reference, and with each peer's, whose float32 may round.

Then accuracy: 1 to --most neighbours on a held back sixth of the training part choose how many; the test part is looked
at once.

    python benchmarks/neighbours.py DATA [--k 5] [--rounds 3] [--tried FILE] [--peers-python PYTHON] [--no-record]

DATA is a folder of idx files: MNIST has 60,000 and 10,000 images. The peers' environment is made in
neighbours_peers/.venv; `--peers-python` takes another.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from neighbours_peers.settings import PEERS, PILEUS, Contender, Settings
from numpy.typing import NDArray
from peers import peers_environment
from record import spread, write_record

from pileus.data.ports import Split
from pileus.data.sources.idx import open_idx
from pileus.machine import count_cores
from pileus.measure.figures import neighbours_picture
from pileus.models.neighbours.search import Shard
from pileus.models.neighbours.votes import accuracy_by_k

PACKAGE = Path(__file__).parent / "neighbours_peers"
ROOT = Path(__file__).parents[1]
TRIED_QUERIES, CHECKED_QUERIES = 1000, 100
DEADLINE_S = 300
LEAST_FASTER = 3.0
Result = dict[str, Any]


class Images(NamedTuple):
    images_MD: NDArray[np.uint8]
    labels_M: NDArray[np.int64]


Chosen = list[tuple[Contender, Settings]]
"""Each contender with its quickest settings."""


class Bench(NamedTuple):
    python: str
    """Of the peers."""
    folder: Path
    k: int

    def search(self, contender: Contender, settings: Settings, queries: int) -> Result:
        """In a process of its own; what fails is a row that says so."""
        is_ours = contender == PILEUS
        script = PACKAGE / ("ours.py" if is_ours else "search.py")
        words = [
            contender.name,
            json.dumps(settings),
            self.folder / "arrays.npz",
            queries,
            self.k,
            self.found(contender),
        ]
        done = subprocess.run(
            [sys.executable if is_ours else self.python, script, *map(str, words)],
            env=os.environ | ({"PYTHONPATH": str(ROOT / "src")} if is_ours else {}),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        row: Result = {"contender": contender.title, "settings": settings}
        if done.returncode:
            return row | {"error": done.stderr.strip()[-300:]}
        told: Result = json.loads(done.stdout.splitlines()[-1])
        return row | told | {"seconds": told["fit_s"] + told["search_s"]}

    def found(self, contender: Contender) -> Path:
        return self.folder / f"{contender.name}.npy"


def parts_of(place: Path) -> tuple[Images, Images]:
    """The training part and the test part."""
    found = {part.split: part for part in open_idx(place).parts}
    train, test = (
        Images(np.asarray(found[split].images).reshape(len(found[split].labels), -1), found[split].labels)
        for split in (Split.TRAIN, Split.TEST)
    )
    return train, test


def tried(bench: Bench) -> list[Result]:
    """Every setting once."""
    rows: list[Result] = []
    for contender in (PILEUS, *PEERS):
        mine = [bench.search(contender, settings, TRIED_QUERIES) for settings in contender.tried]
        for row in mine:
            say(
                f"{row.get('seconds', float('nan')):7.3f} s  {contender.title} {row['settings']} {row.get('error', '')}"
            )
        rows += mine
    return rows


def quickest(rows: list[Result]) -> Chosen:
    chosen: Chosen = []
    for contender in (PILEUS, *PEERS):
        mine = [row for row in rows if row["contender"] == contender.title and "seconds" in row]
        if mine:
            chosen.append((contender, min(mine, key=lambda row: float(row["seconds"]))["settings"]))
        else:
            say(f"{contender.title} searched by no setting; it is left out.")
    return chosen


def in_rounds(bench: Bench, best: Chosen, queries: int, num_rounds: int) -> list[Result]:
    rows = []
    for turn in range(num_rounds):
        for contender, settings in random.sample(best, len(best)):
            row = bench.search(contender, settings, queries)
            if "error" in row:
                raise SystemExit(f"{contender.title} failed: {row['error']}")
            say(f"round {turn + 1}: {row['fit_s']:6.3f} + {row['search_s']:6.3f} s  {contender.title}")
            rows.append(row | {"round": turn})
    return rows


def agreement(bench: Bench, best: Chosen, train: Images, test: Images) -> dict[str, int]:
    """Questions whose neighbours are not ours: of some by the plain reference, of all by each peer."""
    ours_NK = np.load(bench.found(PILEUS))
    rows = np.random.default_rng(0).choice(len(ours_NK), min(CHECKED_QUERIES, len(ours_NK)), replace=False)
    nearest = runpy.run_path(str(ROOT / "reference" / "knn.py"))["nearest"]
    true_NK = nearest(train.images_MD, test.images_MD[rows], bench.k)[1]
    differing = {f"other than the reference's, of {len(rows)}": int((ours_NK[rows] != true_NK).any(axis=1).sum())}
    for contender, _ in best:
        if contender != PILEUS:
            theirs_NK = np.load(bench.found(contender))
            other = int((np.sort(theirs_NK, axis=1) != np.sort(ours_NK, axis=1)).any(axis=1).sum())
            differing[f"other sets than {contender.title}'s, of {len(ours_NK)}"] = other
    return differing


def accuracies(train: Images, test: Images, most: int) -> tuple[list[float], int, float]:
    """By k on what is held back, the k that is chosen by it, and the accuracy of that on the test part."""
    order = np.random.default_rng(0).permutation(len(train.labels_M))
    held, kept = np.split(order, [len(order) // 6])
    classes = int(train.labels_M.max()) + 1
    found = shard(train.images_MD[kept]).nearest(train.images_MD[held], most)
    by_k = accuracy_by_k(train.labels_M[kept][found.indices_NK], train.labels_M[held], classes)
    k = int(np.argmax(by_k)) + 1
    tested = shard(train.images_MD).nearest(test.images_MD, k)
    return by_k, k, accuracy_by_k(train.labels_M[tested.indices_NK], test.labels_M, classes)[-1]


def shard(images_MD: NDArray[np.uint8]) -> Shard:
    return Shard(images_MD, threads=count_cores().usable)


def figures_of(rows: list[Result], differing: dict[str, int]) -> dict[str, Any]:
    by_title: dict[str, list[Result]] = {}
    for row in rows:
        by_title.setdefault(row["contender"], []).append(row)
    seconds = {title: [row["seconds"] for row in mine] for title, mine in by_title.items()}
    figures: dict[str, Any] = {f"{title}, s": spread(many) for title, many in sorted(seconds.items())}
    figures |= {
        f"{title}, search alone, s": spread([row["search_s"] for row in mine]) for title, mine in by_title.items()
    }
    ours = seconds.pop(PILEUS.title)
    ratios = {
        title: [theirs / mine for theirs, mine in zip(many, ours, strict=True)] for title, many in seconds.items()
    }
    figures |= {f"{title} / Pileus": spread(many) for title, many in ratios.items()}
    least = min(spread(many)["median"] for many in ratios.values())
    figures["best peer / Pileus"] = least
    figures[f"target: at least {LEAST_FASTER:g} times as fast as the best"] = (
        "reached" if least >= LEAST_FASTER else "missed"
    )
    return figures | {f"neighbours {what}": count for what, count in differing.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of idx files")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--most", type=int, default=10, help="neighbours up to which accuracy is told")
    parser.add_argument("--rounds", type=int, default=3, help="0: try the settings, and no more")
    parser.add_argument("--tried", type=Path, help="file that keeps what the settings took, so that it is tried once")
    parser.add_argument("--queries", type=int, help="of the test part (all)")
    parser.add_argument("--peers-python", help="of an environment with neighbours_peers/requirements.txt")
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    train, test = parts_of(args.data)
    test = Images(test.images_MD[: args.queries], test.labels_M[: args.queries])
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.peers_python or peers_environment(PACKAGE), Path(folder), args.k)
        np.savez(bench.folder / "arrays.npz", allow_pickle=False, images_MD=train.images_MD, queries_ND=test.images_MD)
        trials = json.loads(args.tried.read_text()) if args.tried and args.tried.exists() else tried(bench)
        if args.tried:
            args.tried.write_text(json.dumps(trials))
        if not args.rounds:
            return
        best = quickest(trials)
        rows = in_rounds(bench, best, len(test.labels_M), args.rounds)
        differing = agreement(bench, best, train, test)
    by_k, k, accuracy = accuracies(train, test, args.most)
    figures = figures_of(rows, differing) | {"neighbours chosen": k, "accuracy on the test part": accuracy}
    print(json.dumps(figures, indent=2))
    if not args.no_record:
        finish(args, figures, {"tried": trials, "rounds": rows, "accuracy_by_k": by_k}, best)


def finish(args: argparse.Namespace, figures: dict[str, Any], raw: Result, best: Chosen) -> None:
    settings = "; ".join(f"{contender.title} {json.dumps(chosen)}" for contender, chosen in best if chosen)
    table = "\n".join(f"| {k} | {accuracy:.2%} |" for k, accuracy in enumerate(raw["accuracy_by_k"], 1))
    says = (
        f"The {args.k} nearest of all training images for each image of the test part: taking in and searching, all "
        f"cores. Each peer at the quickest of its settings, {len(raw['tried']) - 1} tried in all: {settings}.\n\n"
        f"| neighbours | accuracy on a held back sixth |\n|---|---|\n{table}\n\n"
        "![Accuracy by number of neighbours](neighbours.png)"
    )
    folder = write_record(f"neighbours-{args.data.name}", figures, raw, says)
    (folder / "neighbours.png").write_bytes(neighbours_picture(raw["accuracy_by_k"]))
    print(folder)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
