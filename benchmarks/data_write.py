"""Writing photographs as records without encoding them anew, against the disk's own sequential speed.

Copies of the flowers fill a folder that the page cache holds. In turn, so that a drift of the machine meets all: the
same number of bytes written and synced by nothing but write(2), in files as large as shards, through the page cache
and past it; `pileus data write` by one process; by all cores. A write's time has everything but the start of Python:
listing the folder, starting workers, the source's fingerprint.

    python benchmarks/data_write.py DATA [--copies 40] [--rounds 5] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
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
_BLOCK_BYTES = 4 << 20


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


def write_plainly(folder: Path, size_bytes: int, flags: int = 0) -> float:
    """Seconds to write and sync so many bytes, give or take a page, in files of the size of a shard."""
    folder.mkdir()
    block = mmap.mmap(-1, _SHARD_BYTES)
    block[:] = os.urandom(_SHARD_BYTES)
    began = time.perf_counter()
    for number, first in enumerate(range(0, size_bytes, _SHARD_BYTES)):
        file = os.open(folder / str(number), os.O_CREAT | os.O_WRONLY | flags, 0o644)
        stop = min(_SHARD_BYTES, size_bytes - first) & -mmap.PAGESIZE
        for start in range(0, stop, _BLOCK_BYTES):
            os.write(file, memoryview(block)[start : min(start + _BLOCK_BYTES, stop)])
        os.fsync(file)
        os.close(file)
    return time.perf_counter() - began


def write_once(photos: str, dest: str, processes: int) -> dict[str, Any]:
    """In this process: what one write took."""
    cpu_before, began = cpu_s(), time.perf_counter()
    described = write_source(open_source(photos), dest, workers=processes).manifest
    write_s = time.perf_counter() - began
    return {
        "records": described.records,
        "size_bytes": sum(shard.size_bytes for shard in described.shards),
        "write_s": write_s,
        "cpu_s": cpu_s() - cpu_before,
    }


def cpu_s() -> float:
    """Of this process and those of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def in_turn(photos: Path, scratch: Path, size_bytes: int, rounds: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"plain": [], "direct": [], "one": [], "all": []}
    for number in range(rounds):
        dest = scratch / "dest"
        for name, flags in (("plain", 0), ("direct", os.O_DIRECT)):
            found[name].append(write_plainly(dest, size_bytes, flags))
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
        "disk through the page cache, MB/s": spread([size_bytes / plain / 1e6 for plain in found["plain"]]),
        "disk past the page cache, MB/s": spread([size_bytes / direct / 1e6 for direct in found["direct"]]),
        "one process, MB/s": spread([done["size_bytes"] / done["write_s"] / 1e6 for done in one]),
        "one process, records/s": spread([done["records"] / done["write_s"] for done in one]),
        "one process, processor time a record, us": spread([done["cpu_s"] / done["records"] * 1e6 for done in one]),
        "all cores, MB/s": spread([done["size_bytes"] / done["write_s"] / 1e6 for done in many]),
        "all cores, records/s": spread([done["records"] / done["write_s"] for done in many]),
        "all cores, processor time a record, us": spread([done["cpu_s"] / done["records"] * 1e6 for done in many]),
    }


if __name__ == "__main__":
    main()
