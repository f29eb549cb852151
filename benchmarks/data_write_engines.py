"""Writing records by the workers of each engine: in how many partitions, and whether workers keep the source.

Two sources: a third of CIFAR-10, 20,000 small images in memory, which are sent to whoever packs them; and copies of the
flowers, photographs that workers read themselves, decode and bring to 224 x 224. Both make 16 shards. In each round
each engine is started, which is timed apart, and writes each source in each number of partitions, with the cache and
without it. All writes of a source must end with the same bytes. In the end each engine writes the photographs once more
under watch, and what its workers used is drawn.

    python benchmarks/data_write_engines.py DATA [--rounds 2] [--copies 2] [--engines local ray dask spark]

DATA has the folders `cifar10` and `flowers`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_write import fill
from record import spread, write_record

from pileus.data.ports import Source
from pileus.data.sources.open import open_source
from pileus.data.write import Division, WriteOptions
from pileus.engines import connect
from pileus.engines.ports import Engine
from pileus.machine import count_cores
from pileus.measure.figures import COLOURS, painted
from pileus.operations.usage import watched_write
from pileus.operations.write import write_source
from pileus.spec.values import canonical_json, digest

ENGINES = ("local", "ray", "dask", "spark")
PARTITIONS = (2, 4, 8, 16)
_SHARDS = max(PARTITIONS)
_BATCHES = ("batches.meta", "data_batch_1.xz", "test_batch.xz")
_CACHED = {True: "cached", False: "not cached"}


class Work(NamedTuple):
    """A source, and what is made of it."""

    name: str
    source: Source
    options: WriteOptions


class Setting(NamedTuple):
    work: str
    engine: str
    partitions: int
    is_cached: bool

    def __str__(self) -> str:
        return f"{self.work}, {self.engine}, {self.partitions} partitions, {_CACHED[self.is_cached]}"


Found = dict[Setting, list[float]]


def works_of(data: Path, scratch: Path, copies: int) -> list[Work]:
    photographs, cifar10 = scratch / "photographs", scratch / "cifar10"
    fill(photographs, data / "flowers", copies)
    cifar10.mkdir()
    for name in _BATCHES:
        (cifar10 / name).symlink_to((data / "cifar10" / name).absolute())
    return [
        Work("CIFAR-10", open_source(str(cifar10)), WriteOptions(num_shards=_SHARDS)),
        Work("photographs", open_source(str(photographs)), WriteOptions(num_shards=_SHARDS, resize=(224, 224))),
    ]


def settings_of(engine: str, works: list[Work]) -> Iterator[tuple[Work, Setting]]:
    for work in works:
        for partitions in PARTITIONS:
            for is_cached in _CACHED:
                yield work, Setting(work.name, engine, partitions, is_cached)


class Trial:
    """All rounds. What was written is compared with the first write of its source, and deleted."""

    def __init__(self, works: list[Work], scratch: Path) -> None:
        self.seconds: Found = {}
        self.start_s: dict[str, list[float]] = {}
        self._works = works
        self._dest = scratch / "dest"
        self._written: dict[str, str] = {}
        self._workers = count_cores().usable

    def round(self, name: str) -> None:
        began = time.perf_counter()
        engine = connect(name)
        try:
            list(engine.map(abs, range(self._workers), workers=self._workers))
            self.start_s.setdefault(name, []).append(time.perf_counter() - began)
            self._write(
                engine, self._works[-1], Setting("", name, _SHARDS, is_cached=True)
            )  # workers import what it asks
            for work, setting in settings_of(name, self._works):
                self.seconds.setdefault(setting, []).append(self._write(engine, work, setting))
                print(f"{setting}: {self.seconds[setting][-1]:.2f} s", flush=True)
        finally:
            engine.close()

    def watch(self, name: str, page: Path) -> None:
        (work,) = (each for each in self._works if each.name == "photographs")
        with watched_write(name, page, f"photographs by {name}") as engine:
            self._write(engine, work, Setting(work.name, name, _SHARDS, is_cached=True))

    def _write(self, engine: Engine, work: Work, setting: Setting) -> float:
        division = Division(partitions=setting.partitions, cache=setting.is_cached)
        began = time.perf_counter()
        summary = write_source(
            work.source,
            str(self._dest),
            options=work.options,
            engine=engine,
            workers=self._workers,
            division=division,
        )
        seconds = time.perf_counter() - began
        assert summary.partitions == setting.partitions
        bytes_of_all = digest(canonical_json(summary.manifest))  # which has a checksum of each file
        assert self._written.setdefault(work.name, bytes_of_all) == bytes_of_all, f"{setting}: other bytes"
        shutil.rmtree(self._dest)
        return seconds


def plot(work: str, found: Found, engines: list[str]) -> bytes:
    def draw(axes: Any) -> None:
        for place, engine in enumerate(engines):
            for is_cached, told in _CACHED.items():
                medians = [spread(found[Setting(work, engine, num, is_cached)])["median"] for num in PARTITIONS]
                axes.plot(
                    PARTITIONS,
                    medians,
                    color=COLOURS[place],
                    marker="o",
                    linestyle="-" if is_cached else ":",
                    label=f"{engine}, {told}",
                )
        axes.set_xscale("log", base=2)
        axes.set_xticks(PARTITIONS, [str(number) for number in PARTITIONS])
        axes.set(xlabel="partitions", ylabel=f"seconds to write {work}")
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return painted(draw, size=(7.0, 3.8))


def table(work: str, found: Found, engines: list[str]) -> str:
    """Medians in seconds."""
    head = " | ".join(f"{number} partitions" for number in PARTITIONS)
    rows = [f"| {work} | {head} |", f"|---|{'---:|' * len(PARTITIONS)}"]
    for engine in engines:
        for is_cached, told in _CACHED.items():
            cells = (f"{spread(found[Setting(work, engine, num, is_cached)])['median']:.2f}" for num in PARTITIONS)
            rows.append(f"| {engine}, {told} | {' | '.join(cells)} |")
    return "\n".join(rows)


def finish(trial: Trial, works: list[Work], engines: list[str], scratch: Path) -> Path:
    found = trial.seconds
    figures: dict[str, Any] = {f"start of {name}, s": spread(many) for name, many in trial.start_s.items()}
    figures |= {f"{setting}, s": spread(many) for setting, many in found.items()}
    told = "; ".join(f"{work.name}: {len(work.source):,} images" for work in works)
    tables = "\n\n".join(
        f"{table(work.name, found, engines)}\n\n![{work.name}](partitions-{work.name.lower()}.png)" for work in works
    )
    pages = ", ".join(f"[{name}](use-{name}.html)" for name in engines)
    says = (
        f"Seconds from an open source to a whole set of {_SHARDS} shards, medians ({told}); the bytes were the same "
        f"each time. Engines were started before, and had written once; `local` starts its processes for each "
        f"write.\n\n{tables}\n\nWhat workers and hosts used while they wrote the photographs: {pages}."
    )
    raw = {"start_s": trial.start_s, "seconds": {str(setting): many for setting, many in found.items()}}
    folder = write_record("data-write-engines", figures, raw, says)
    for work in works:
        (folder / f"partitions-{work.name.lower()}.png").write_bytes(plot(work.name, found, engines))
    for name in engines:
        shutil.copy(scratch / f"use-{name}.html", folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with cifar10 and flowers")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--copies", type=int, default=2, help="of each photograph")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--no-record", action="store_true", help="measure and tell, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        works = works_of(args.data, scratch, args.copies)
        trial = Trial(works, scratch)
        for number in range(args.rounds):
            for engine in args.engines[number % len(args.engines) :] + args.engines[: number % len(args.engines)]:
                trial.round(engine)
        for engine in args.engines:
            trial.watch(engine, scratch / f"use-{engine}.html")
        if args.no_record:
            for work in works:
                print(table(work.name, trial.seconds, args.engines))
            print(json.dumps({name: spread(many) for name, many in trial.start_s.items()}, indent=2))
            return
        print(finish(trial, works, args.engines, scratch))


if __name__ == "__main__":
    main()
