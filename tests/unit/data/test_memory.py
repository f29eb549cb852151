"""A set far larger than its bound is read within it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.data.photos import raw_set

_BOUND_BYTES = 4 << 20
_READ = """
import resource, sys
from pileus.data.reader import Reader
from pileus.records import open_records
from pileus.spec.augment import Augment, PadCrop
from pileus.spec.reading import Reading, Sampling

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

sampling = Sampling(batch_size=8, augment=Augment(flip=0.5, crop=PadCrop()))
with Reader(open_records(sys.argv[1]), sampling, Reading(memory_bytes=int(sys.argv[2]), readers=2)) as reader:
    warm = reader.epoch(0)
    for _ in range(3):
        next(warm)
    before, count = peak(), 0
    for batch in reader.epoch(1):
        count += len(batch.labels_N)
    print(reader.way, count, peak() - before)
"""


def test_streaming_stays_under_its_bound(tmp_path: Path) -> None:
    records = raw_set(tmp_path, count=1300, shape=(128, 192, 3), shards=2)
    assert sum(shard.size_bytes for shard in records.manifest.shards) > 20 * _BOUND_BYTES
    command = [sys.executable, "-c", _READ, str(tmp_path), str(_BOUND_BYTES)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout.split()
    assert told[:2] == ["streamed", str((records.splits == 0).sum())]
    assert int(told[2]) < _BOUND_BYTES
