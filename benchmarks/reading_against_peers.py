"""Reading the same pictures by Pileus and by others, each in its own format and at its best setting.

Photographs, JPEG files in sizes of their own, become batches of 64 uint8 images of 224 x 224, by a random resized crop
and mirroring or by their middle; CIFAR-10 and MNIST become batches of 512, by a padded crop and mirroring. Files are in
the page cache. Every setting in `reading_peers/settings.py` is tried over a part of the images; the two fastest of each
reader are then measured in rounds of drawn order, each run a process of its own, on as many cores as are said.

    python benchmarks/reading_against_peers.py DATA [--rounds 5] [--tasks train cifar10] [--cores 1 2]

DATA has flowers/, cifar10/ and mnist/. `--tried RECORD` takes the settings from an earlier record's results.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers import peers_environment
from reading_peers import prepare
from reading_peers.compare import BENCHMARKS, Bench, Entry, Result, entries, finalists, in_turn
from reading_peers.job import PHOTOGRAPHS
from reading_peers.settings import PEERS, SMALL
from reading_peers.tables import Best, markdown, write_csv
from record import spread, write_record

PACKAGE = BENCHMARKS / "reading_peers"


def prepared(scratch: Path, data: Path, tasks: list[Any], copies: int, peers_python: str) -> Bench:
    """The pictures in all formats that the tasks need."""
    records = {}
    if photographs := [task for task in tasks if task in PHOTOGRAPHS]:
        count = prepare.photographs(scratch, data / "flowers", copies)
        records.update(dict.fromkeys(photographs, count))
        command = [peers_python, "-m", "reading_peers.formats", str(scratch)]
        subprocess.run(command, check=True, cwd=BENCHMARKS, capture_output=True, timeout=600)
    for task in tasks:
        if task in SMALL:
            records[task] = prepare.small(scratch, task, data / task)
    return Bench(scratch, peers_python, records)


def tried_before(record: Path, compared: list[Entry]) -> list[Result]:
    """What an earlier record's first phase found of the entries."""
    with (record / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "tried"]
    found = [
        row
        | {
            "settings": json.loads(row["settings"]),
            "cores": int(row["cores"]),
            "images_per_s_core": float(row["images_per_s_core"]),
        }
        for row in rows
    ]
    absent = {entry.side for entry in compared} - {(row["peer"], row["task"], row["cores"]) for row in found}
    if absent:
        raise SystemExit(f"{record} has tried no setting of {sorted(absent)}; leave out --tried.")
    return found


def figures(best: Best) -> dict[str, Any]:
    return {
        f"{task}, cores {cores}: Pileus / {peer}": spread(best.ratios(task, cores, peer))
        for task, cores in best.sides()
        for peer in best.peers(task, cores)
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with flowers/, cifar10/ and mnist/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=16, help="of each photograph")
    parser.add_argument("--tasks", nargs="+", choices=[*PHOTOGRAPHS, *SMALL], default=[*PHOTOGRAPHS, *SMALL])
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2])
    names = list(dict.fromkeys(peer.name for peer in PEERS))
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    parser.add_argument("--part", type=float, default=0.35, help="of the images, for trying settings")
    parser.add_argument("--tried", type=Path, help="record folder whose choice of settings to take")
    parser.add_argument("--peers-python", help="of an environment with reading_peers/requirements.txt")
    parser.add_argument("--scratch", type=Path, help="where the pictures are written (the system's temporary folder)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    compared = entries(args.tasks, args.cores, args.peers)
    tried = tried_before(args.tried, compared) if args.tried else []
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        bench = prepared(
            Path(scratch), args.data, args.tasks, args.copies, args.peers_python or peers_environment(PACKAGE)
        )
        tried = tried or in_turn(bench, compared, 1, part=args.part, say=say)
        final = in_turn(bench, finalists(compared, tried), args.rounds, part=1.0, say=say)
    for what, group in (("photographs", PHOTOGRAPHS), ("small-images", SMALL)):
        if mine := [result for result in final if result["task"] in group]:
            write(what, args, len(compared), [result for result in tried if result["task"] in group], mine)


def write(what: str, args: argparse.Namespace, num_tried: int, tried: list[Result], final: list[Result]) -> None:
    best = Best(final)
    says = (
        f"{args.copies} copies of each photograph; every record's CRC is checked by Pileus and tf.data. Each reader at "
        f"the best of its settings, {num_tried:,} tried in all. "
    )
    if what == "photographs":
        says += (
            "Those named after a library alone have their batches made by hand, by the code of `pictures.py`: the "
            'decoder and the resizer that the settings name, whatever the library itself comes with. "As tutorials" is '
            "the documented way; tf.data has its own fused decoder. Only Pileus's pixels are the same bits everywhere."
        )
    folder = write_record(f"reading-peers-{what}", figures(best), {"final": final}, f"{says}\n\n{markdown(best)}")
    write_csv(folder / "results.csv", {"tried": tried, "final": final})
    print(markdown(best), folder, sep="\n\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
