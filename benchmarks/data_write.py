"""Writing photographs as records without encoding them anew, against the disk's own sequential speed.

Copies of the flowers fill a folder that the page cache holds. In turn, so that a drift of the machine meets all: the
same number of bytes written and synced by nothing but write(2), in files as large as shards; `pileus data write` by one
process; by all cores. The source's fingerprint, which reads all files once more beforehand, is timed apart.

    python benchmarks/data_write.py DATA [--copies 40] [--rounds 5] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import spread, write_record

from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions
from pileus.machine import count_cores
from pileus.operations.write import write_source

_SHARD_BYTES = WriteOptions().shard_size_bytes


def fill(folder: Path, data: Path, copies: int) -> int:
    """`copies` of each photograph; returns their bytes."""
    size_bytes = 0
    for path in sorted(data.glob("*/*.jpg")):
        content = path.read_bytes()
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            (folder / path.parent.name / f"{path.stem}-{number:03}.jpg").write_bytes(content)
        size_bytes += copies * len(content)
    return size_bytes


def write_plainly(folder: Path, size_bytes: int) -> float:
    """Seconds to write and sync so many bytes, in files of the size of a shard."""
    folder.mkdir()
    block = os.urandom(_SHARD_BYTES)
    began = time.perf_counter()
    for number, first in enumerate(range(0, size_bytes, _SHARD_BYTES)):
        with (folder / str(number)).open("wb", buffering=0) as file:
            file.write(block[: size_bytes - first])
            os.fsync(file.fileno())
    return time.perf_counter() - began


def write_once(photos: str, dest: str, processes: int) -> dict[str, Any]:
    """In this process: what one write took."""
    source = open_source(photos)
    began = time.perf_counter()
    fingerprint = source.fingerprint
    fingerprint_s = time.perf_counter() - began
    cpu_before, began = time.process_time(), time.perf_counter()
    described = write_source(source, dest, workers=processes).manifest
    write_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before
    return {
        "records": described.records,
        "size_bytes": sum(shard.size_bytes for shard in described.shards),
        "fingerprint": fingerprint,
        "fingerprint_s": fingerprint_s,
        "write_s": write_s,
        "cpu_s": cpu_s,
    }


def in_turn(photos: Path, scratch: Path, size_bytes: int, rounds: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"plain": [], "one": [], "all": []}
    for number in range(rounds):
        dest = scratch / "dest"
        found["plain"].append(write_plainly(dest, size_bytes))
        shutil.rmtree(dest)
        for name, processes in (("one", 1), ("all", count_cores().usable)):
            command = [sys.executable, __file__, str(photos), "--one", str(dest), "--processes", str(processes)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
            found[name].append(json.loads(done.stdout))
            shutil.rmtree(dest)
        plain, one, many = (found[name][-1] for name in ("plain", "one", "all"))
        print(f"round {number + 1}: plain {plain:.2f} s, 1: {one['write_s']:.2f} s, all: {many['write_s']:.2f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of the flowers")
    parser.add_argument("--copies", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", help="folder on the disk to measure (the system's temporary folder)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(write_once(args.data, args.one, args.processes)))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        photos = Path(folder) / "photos"
        size_bytes = fill(photos, Path(args.data), args.copies)
        found = in_turn(photos, Path(folder), size_bytes, args.rounds)
    figures = told(found, size_bytes)
    says = f"{found['one'][0]['records']:,} photographs of {size_bytes / found['one'][0]['records'] / 1e3:.0f} kB."
    record = write_record("data-write", figures, found, says)
    print(json.dumps(figures, indent=2), record, sep="\n")


def told(found: dict[str, list[Any]], size_bytes: int) -> dict[str, Any]:
    one, many = found["one"], found["all"]
    return {
        "share of the disk's speed, one process": spread(
            [plain / done["write_s"] for plain, done in zip(found["plain"], one, strict=True)]
        ),
        "share of the disk's speed, all cores": spread(
            [plain / done["write_s"] for plain, done in zip(found["plain"], many, strict=True)]
        ),
        "disk, MB/s": spread([size_bytes / plain / 1e6 for plain in found["plain"]]),
        "one process, MB/s": spread([done["size_bytes"] / done["write_s"] / 1e6 for done in one]),
        "one process, records/s": spread([done["records"] / done["write_s"] for done in one]),
        "one process, records per second of processor": spread([done["records"] / done["cpu_s"] for done in one]),
        "all cores, MB/s": spread([done["size_bytes"] / done["write_s"] / 1e6 for done in many]),
        "all cores, records/s": spread([done["records"] / done["write_s"] for done in many]),
        "fingerprint of the source beforehand, s": spread([done["fingerprint_s"] for done in one]),
    }


if __name__ == "__main__":
    main()
