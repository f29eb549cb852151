"""A trial counts the images that really came, once each, in the state of the caches that was asked for."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import msgspec
import pytest

from pileus.bench.process import answer
from pileus.bench.reading import trial
from pileus.bench.reading.ceilings import SetName, decode_rate, handover_rate, image_shape, measure_ceilings
from pileus.bench.reading.design import CacheState, Factors, Format, Place, places_of
from pileus.bench.reading.opening import WrittenSet
from pileus.bench.reading.trial import Task, measure
from tests.unit.bench.reading.small import cell_of, task_of, written_set

LATE = Place(latency_ms=1.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenSet:
    return written_set(tmp_path_factory.mktemp("set"))


@pytest.mark.parametrize("form", ["files", "shards"])
@pytest.mark.parametrize(("batch_size", "batches"), [(4, 3), (2, 1), (5, 2)])
def test_the_images_are_counted(
    form: Format, batch_size: int, batches: int, written: WrittenSet, tmp_path: Path
) -> None:
    """Of 12: the last batch of five is one of two."""
    found = measure(task_of(cell_of(format=form, batch_size=batch_size, batches=batches), written, tmp_path / "caches"))
    assert found.batches_read == batches
    assert found.images == min(12, batch_size * batches) - (3 if batch_size == 5 else 0)
    assert 0 < found.stall_s <= found.wall_s
    assert found.images_per_s == found.images / found.wall_s
    assert found.first_batch_s > 0 and found.open_s > 0 and found.process_s >= 0
    if form == "files":
        assert found.requests == found.images


def test_files_are_asked_for_one_by_one_and_only_what_is_counted(written: WrittenSet, tmp_path: Path) -> None:
    cell = cell_of(format="files", batch_size=2, batches=2, readers=2)
    found = measure(task_of(cell, written, tmp_path / "caches"))
    assert (found.requests, found.images) == (4, 4)
    assert found.store_bytes < written.content_bytes


@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_a_store_that_answers_late_is_read_by_way_of_a_cache(
    cache: CacheState, written: WrittenSet, tmp_path: Path
) -> None:
    caches = tmp_path / "caches"
    found = measure(task_of(cell_of(store=LATE, cache=cache), written, caches))
    assert found.images == 12
    shards = 1
    assert found.requests == (0 if cache == "warm" else shards)
    assert bool(found.store_bytes) == (cache == "cold")
    assert len(list(caches.glob("cold-*"))) == (2 if cache == "cold" else 0)
    assert (caches / "warm").is_dir() == (cache == "warm")


def test_warm_files_are_in_memory(written: WrittenSet, tmp_path: Path) -> None:
    found = measure(task_of(cell_of(format="files"), written, tmp_path / "caches"))
    assert found.resident == 1.0
    assert not found.disk_bytes


def run_main(task: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, object]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(task)))
    code = answer(trial.measure, Task)
    return code, json.loads(capsys.readouterr().out)


def test_one_line_of_json_tells_what_was_found_or_what_failed(
    written: WrittenSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = task_of(cell_of(), written, tmp_path / "caches")
    code, found = run_main(msgspec.json.encode(task), monkeypatch, capsys)
    assert code == 0
    assert msgspec.convert(found, trial.Outcome).images == 12
    elsewhere = msgspec.structs.replace(written, uri=str(tmp_path / "nothing"))
    lost: Task = msgspec.structs.replace(task, written=elsewhere)
    code, told = run_main(msgspec.json.encode(lost), monkeypatch, capsys)
    assert code == 2
    assert isinstance(told, dict) and "nothing/shards" in told["error"]


def test_each_part_is_measured_alone_at_every_level(written: WrittenSet, tmp_path: Path) -> None:
    factors = Factors(batch_size=(4,), batches=(3,), readers=(1,), store=places_of((0.0, 1.0), remote=False))
    found = measure_ceilings(factors, {SetName(0, False): written})
    assert len(found.stores) == 2 * 2 * 2
    assert (len(found.decoders), len(found.handovers)) == (1, 1)
    rates = {(c.format, c.store, c.cache): c.images_per_s for c in found.stores}
    assert rates["files", "local+1ms", "warm"] < 1000 < rates["files", "local", "warm"]
    assert rates["shards", "local+1ms", "cold"] < rates["shards", "local+1ms", "warm"]


def test_rates_are_of_whole_images(written: WrittenSet) -> None:
    assert image_shape(written) == (224, 224, 3)
    assert decode_rate(written, 1) > 10
    assert handover_rate((1, 1, 1), 4, 1) > 10
