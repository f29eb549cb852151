"""What reading costs beside decoding: memory, the opening of many records, and checksums.

memory     A set of photographs 20 times as large as the bound is streamed for an epoch; the peak of the whole process's
           resident memory, interpreter and libraries included, stays under the bound.
million    A set of a million tiny images is opened, and an epoch of it put in order.
checksums  Photographs to 224 x 224 by random resized crops in one thread, epochs with and without the check of each
           record's frame, in turn.

    python benchmarks/reading_limits.py DATA [--rounds 5]

DATA has flowers/. Some 6 GB are written to the system's temporary folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from record import spread, write_record

from pileus.bench.reading.cold import peak_bytes
from pileus.bench.reading.sets import Taken
from pileus.data.order import permutation
from pileus.data.ports import Split
from pileus.data.reader import Reader
from pileus.data.sources.arrays import ArraySource, Part
from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions
from pileus.machine import count_cores
from pileus.operations.write import write_source
from pileus.records.read import RecordSet, open_records
from pileus.spec.augment import Augment, ResizedCrop
from pileus.spec.reading import Reading, Sampling

BOUND_BYTES = 256 << 20
TIMES = 20
MILLION = 1_000_000
SAMPLING = Sampling(batch_size=64, size=(224, 224), augment=Augment(flip=0.5, crop=ResizedCrop()))
RUN_DEADLINE_S = 600.0


def photographs(data: Path, place: Path, size_bytes: int) -> None:
    """So many bytes of them, over and over."""
    source = open_source(str(data / "flowers"))
    given_bytes = sum(path.stat().st_size for path in (data / "flowers").glob("*/*.jpg"))
    taken = Taken(source=source, count=size_bytes * len(source) // given_bytes + 1)
    write_source(taken, str(place), workers=count_cores().usable)


def peak_memory() -> int:
    found = peak_bytes()
    assert found is not None, "the system does not tell"
    return found


def memory(place: str) -> dict[str, float]:
    before = peak_memory()
    with Reader(open_records(place), SAMPLING, Reading(memory_bytes=BOUND_BYTES)) as reader:
        began = time.perf_counter()
        images = sum(len(batch.labels_N) for batch in reader.epoch(0))
        seconds = time.perf_counter() - began
        assert reader.way == "streamed"
    return {"peak_mb": peak_memory() / 1e6, "imports_mb": before / 1e6, "images": images, "images_s": images / seconds}


def million(place: str) -> dict[str, float]:
    """Files are in the page cache. What numpy allocates is traced."""
    began = time.perf_counter()
    records = open_records(place)
    opened_s = time.perf_counter() - began
    assert len(records) == MILLION
    began = time.perf_counter()
    permutation(0, 1, MILLION)
    ordered_s = time.perf_counter() - began
    tracemalloc.start()
    permutation(0, 2, MILLION)
    allocated = tracemalloc.get_traced_memory()[1]
    return {"opened_s": opened_s, "ordered_s": ordered_s, "allocated_mb": allocated / 1e6}


def checksums(place: str) -> dict[str, float]:
    """Processor microseconds of an image, by pairs of epochs."""
    unchecked = mock.patch.object(RecordSet, "_problem", lambda *_: None)
    spent: dict[bool, list[float]] = {True: [], False: []}
    with Reader(open_records(place), SAMPLING, Reading(memory_bytes=0, readers=0)) as reader:
        for epoch in range(7):
            for checked in (epoch % 2 == 0, epoch % 2 == 1):
                if not checked:
                    unchecked.start()
                began, images = time.process_time(), 0
                for batch in reader.epoch(epoch):
                    images += len(batch.labels_N)
                if epoch:
                    spent[checked].append((time.process_time() - began) / images * 1e6)
                if not checked:
                    unchecked.stop()
    with_us, without_us = (float(np.median(spent[checked])) for checked in (True, False))
    return {"with_us": with_us, "without_us": without_us, "cost": with_us / without_us - 1}


PARTS: dict[str, Callable[[str], dict[str, float]]] = {"memory": memory, "million": million, "checksums": checksums}


def in_process(part: str, place: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_DEADLINE_S)
    if done.returncode:
        raise SystemExit(f"{part} failed: {done.stderr.strip()}")
    figures: dict[str, float] = json.loads(done.stdout)
    print(part, figures, file=sys.stderr, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with flowers/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(PARTS[args.part](str(args.data))))
        return
    raw: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photographs(args.data, root / "large", TIMES * BOUND_BYTES)
        raw["memory"] = [in_process("memory", root / "large")]
        photographs(args.data, root / "small", 50 << 20)
        raw["checksums"] = [in_process("checksums", root / "small") for _ in range(args.rounds)]
        images = np.random.default_rng(0).integers(0, 256, (MILLION, 4, 4, 1), np.uint8)
        part = Part(name="tiny", split=Split.TRAIN, images=images, labels=np.arange(MILLION) % 10)
        source = ArraySource(kind="tiny", classes=tuple("0123456789"), parts=(part,), preprocessing=None)
        write_source(source, str(root / "million"), options=WriteOptions(num_shards=16))
        raw["million"] = [in_process("million", root / "million") for _ in range(args.rounds)]
    figures: dict[str, Any] = {
        "bound of memory, MB": BOUND_BYTES / 1e6,
        "photographs streamed": raw["memory"][0]["images"],
    }
    for part_name, runs in raw.items():
        for name in runs[0]:
            if name != "images":
                figures[f"{part_name}: {name}"] = spread([run[name] for run in runs])
    says = (
        f"Photographs of {TIMES} times the bound are streamed under it, interpreter and libraries included; a million "
        "records are opened and put in order; the share of a photograph's time that its record's checksums cost."
    )
    print(write_record("reading-limits", figures, raw, says))


if __name__ == "__main__":
    main()
