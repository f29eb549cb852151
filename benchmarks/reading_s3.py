"""One epoch of photographs from S3, every request of which is 20 ms late, against the same shards on this disk.

MinIO serves the shards from this machine; the latency is slept before each request, in the thread that asks. Each run
is a process of its own with an empty shard cache, and holds nothing decoded. Batches of 64 are drawn from the whole
set, so the first one needs every shard: its time is told apart, and both places are compared from there on.

    python benchmarks/reading_s3.py DATA [--rounds 5] [--minio PROGRAM]

DATA has flowers/. MinIO is what `make services SERVICES=minio` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from record import spread, write_record

from pileus.bench.reading.sets import Taken
from pileus.bench.reading.stores import MeasuredStore
from pileus.data.reader import Reader
from pileus.data.sources.open import open_source
from pileus.data.write import WriteOptions
from pileus.operations.write import write_source
from pileus.records.read import RecordSet
from pileus.spec.augment import Augment, ResizedCrop
from pileus.spec.reading import Reading, Sampling
from pileus.store import open_store
from pileus.store.cache import Cache

LATENCY_S = 0.020
BUCKET = "photographs"
START_DEADLINE_S = 60.0
RUN_DEADLINE_S = 300.0
SAMPLING = Sampling(batch_size=64, size=(224, 224), augment=Augment(flip=0.5, crop=ResizedCrop()))


class Late(MeasuredStore):
    """S3, each request of which waits first."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        assert len(ranges) == 1, "several ranges may be several requests"
        return super().get_ranges(key, ranges)


def one_run(place: str) -> dict[str, float]:
    """Two epochs, by a reader that starts with nothing."""
    started = time.perf_counter()
    store = open_store(place)
    with tempfile.TemporaryDirectory() as cache:
        late = Late(store, LATENCY_S) if place.startswith("s3:") else None
        records = RecordSet(late or store, Cache(Path(cache)) if late else None)
        figures: dict[str, float] = {}
        with Reader(records, SAMPLING, Reading(memory_bytes=0)) as reader:
            for epoch in range(2):
                batches = reader.epoch(epoch)
                first = len(next(batches).labels_N)
                began = time.perf_counter()
                if epoch == 0:
                    figures["first_batch_s"] = began - started
                images = sum(len(batch.labels_N) for batch in batches)
                figures[f"epoch_{epoch}_images_s"] = images / (time.perf_counter() - began)
        figures |= {"images": first + images, "requests": late.requests if late else 0}
    return figures


@contextlib.contextmanager
def minio(program: str, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a client."""
    (folder / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    secrets = {"MINIO_ROOT_USER": "benchmark", "MINIO_ROOT_PASSWORD": "only-on-loopback", "HOME": str(folder)}
    command = [program, "server", "--quiet", "--address", address, str(folder)]
    server = subprocess.Popen(command, env=os.environ | secrets, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_DEADLINE_S
        while not _is_ready(f"http://{address}/minio/health/ready"):
            if time.monotonic() > until or server.poll() is not None:
                raise SystemExit("MinIO did not start.")
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "only-on-loopback",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.terminate()
        server.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def in_process(place: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_DEADLINE_S)
    if done.returncode:
        raise SystemExit(f"a run failed: {done.stderr.strip()}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def write(data: Path, copies: int, places: list[str]) -> None:
    source = open_source(str(data / "flowers"))
    for place in places:
        taken = Taken(source=source, count=copies * len(source))
        write_source(taken, place, options=WriteOptions(num_shards=8))


def figures_of(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    local, remote = runs.values()
    figures: dict[str, Any] = {"requests": max(run["requests"] for run in remote), "images": remote[0]["images"]}
    for name in ("first_batch_s", "epoch_0_images_s", "epoch_1_images_s"):
        figures[f"disk {name}"] = spread([run[name] for run in local])
        figures[f"S3 {name}"] = spread([run[name] for run in remote])
    for epoch in range(2):
        name = f"epoch_{epoch}_images_s"
        ratios = [far[name] / near[name] for far, near in zip(remote, local, strict=True)]
        figures[f"S3 / disk, epoch {epoch} after its first batch"] = spread(ratios)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder with flowers/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=20, help="of each photograph")
    parser.add_argument("--minio", default=str(Path.home() / ".cache/pileus/services/bin/minio"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_run(args.one)))
        return
    with tempfile.TemporaryDirectory() as folder, minio(args.minio, Path(folder) / "minio") as environment:
        os.environ.update(environment)
        places = [f"{folder}/records", f"s3://{BUCKET}/records"]
        write(args.data, args.copies, places)
        runs: dict[str, list[dict[str, float]]] = {place: [] for place in places}
        for _ in range(args.rounds):
            for place in random.sample(places, len(places)):
                runs[place].append(in_process(place))
                print(place.partition(":")[0][:2], runs[place][-1], file=sys.stderr)
    figures = figures_of(runs)
    median = statistics.median(run["first_batch_s"] for run in runs[places[1]])
    says = (
        f"Photographs to 224 x 224 by random resized crops, from {LATENCY_S * 1e3:g} ms late S3 and from the disk. The "
        f"first batch, which needs every shard, comes after {median:.2f} s; shards then lie in the cache."
    )
    print(write_record("reading-s3", figures, {"disk": runs[places[0]], "s3": runs[places[1]]}, says))


if __name__ == "__main__":
    main()
