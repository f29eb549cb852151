"""What a trial is put together from: sets, files one by one, late stores, and files in and out of the page cache."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.bench.reading import cold
from pileus.bench.reading.design import Format, Place
from pileus.bench.reading.files import SIZES_KEY, FilesOneByOne, file_sizes
from pileus.bench.reading.opening import content_paths, open_reader, open_set
from pileus.bench.reading.sets import Taken, copy_set, delete_set, write_set
from pileus.bench.reading.stores import MeasuredStore
from pileus.data.ports import Split
from pileus.data.sources.digits import open_digits
from pileus.errors import SourceError
from pileus.records import RecordSet, open_records
from pileus.store import open_store
from pileus.store.memory import MemoryStore
from tests.unit.bench.reading.small import FACTORS, cell_of, photographs, quiet, written_set


@pytest.mark.parametrize("pixels", [0, 24])
def test_files_and_shards_give_the_same_batches(pixels: int, tmp_path: Path) -> None:
    written = written_set(tmp_path, pixels)
    assert written.size == (None if pixels else (224, 224))
    batches: dict[Format, list[tuple[bytes, list[int]]]] = {}
    formats: tuple[Format, ...] = ("files", "shards")
    for form in formats:
        with open_reader(open_set(written, form, Place(), None).records, written, cell_of(), 7) as reader:
            batches[form] = [(batch.images_NHWC.tobytes(), batch.labels_N.tolist()) for batch in reader.epoch(0)]
            assert reader.way == "streamed"
            assert reader.shape == ((24, 24, 3) if pixels else (224, 224, 3))
    assert len(batches["files"]) == 3
    assert batches["files"] == batches["shards"]


def contents(records: RecordSet, rows: NDArray[np.int64]) -> dict[int, bytes]:
    return {row: bytes(content) for row, content in records.contents(rows)}


def test_files_of_raw_images_give_the_same_batches(tmp_path: Path) -> None:
    written = write_set(open_digits(), FACTORS, 0, tmp_path, quiet)
    one, many = (open_set(written, form, Place(), None).records for form in ("files", "shards"))
    rows = np.array([5, 0, 11, 3])
    assert np.array_equal(one.images(rows), many.images(rows))
    assert contents(one, rows) == contents(many, rows)


def test_a_set_has_as_many_samples_as_a_trial_takes_all_to_train_on() -> None:
    source = photographs(5)
    more = Taken(source=source, count=12)
    ids = [more[index].id for index in range(12)]
    assert len(set(ids)) == 12
    assert ids[0] == "p0~0" and ids[11] == "p1~2"
    assert {more[index].split for index in range(12)} == {Split.TRAIN}
    fewer = Taken(source=source, count=2)
    assert [fewer[index].id for index in range(2)] == ["p0", "p2"]
    assert len({more.fingerprint, fewer.fingerprint}) == 2
    with pytest.raises(IndexError):
        more[12]


def test_a_set_that_is_there_is_kept_and_one_left_half_written_is_made_anew(tmp_path: Path) -> None:
    written = written_set(tmp_path)
    files = content_paths(written, "files")
    assert len(files) == written.records == FACTORS.num_images
    assert written.content_bytes == sum(path.stat().st_size for path in files)
    before = files[0].stat().st_mtime_ns
    assert written_set(tmp_path) == written
    assert files[0].stat().st_mtime_ns == before
    (tmp_path / "files" / SIZES_KEY).unlink()
    files[3].write_bytes(b"torn")
    assert written_set(tmp_path) == written
    assert files[3].stat().st_size > 4


def test_a_copy_in_another_store_is_the_same_and_can_be_deleted(tmp_path: Path) -> None:
    written = written_set(tmp_path / "here")
    far = copy_set(written, str(tmp_path / "there"), quiet)
    assert open_store(far.uri).list() == open_store(written.uri).list()
    assert open_records(far.at("shards")).fingerprint
    delete_set(far.uri)
    assert open_store(far.uri).list() == []


def test_files_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    written = written_set(tmp_path)
    (tmp_path / "files" / SIZES_KEY).write_text("[1, 2]")
    with pytest.raises(SourceError, match="2 files of 12"):
        FilesOneByOne(open_store(written.at("shards")), open_store(written.at("files")))


def test_a_measured_store_counts_and_waits_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Barrier(2, timeout=10)
    waits: list[float] = []
    behind = MemoryStore("measured")
    behind.put("a", b"0123456789")

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        waiting.wait()

    monkeypatch.setattr(time, "sleep", sleep)
    store = MeasuredStore(behind, 0.02)
    asked = threading.Thread(target=store.get, args=("a",))
    asked.start()
    assert store.get_ranges("a", [(0, 3), (5, 7)]) == [b"012", b"56"]
    asked.join()
    assert waits == [0.02, 0.02]
    assert (store.requests, store.size_bytes) == (2, 15)


def test_a_store_without_latency_never_sleeps_and_passes_all_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("slept"))
    store = MeasuredStore(MemoryStore("passed on"))
    version = store.put("a", b"1")
    assert store.get("a").content == b"1"
    store.swap("a", b"2", version)
    assert store.list() == ["a"]
    store.delete("a")
    assert (store.list(), store.requests, store.uri, store.abilities.swap) == ([], 6, "memory:passed on", True)


def test_pages_are_dropped_and_read_again(tmp_path: Path) -> None:
    path, empty = tmp_path / "file", tmp_path / "empty"
    path.write_bytes(b"x" * (1 << 20))
    empty.touch()
    cold.write_out([path, empty])
    cold.recall([path, empty])
    assert cold.resident_share([path, empty]) == 1.0
    cold.forget([path, empty])
    share = cold.resident_share([path])
    if share:
        pytest.skip("the temporary folder's file system keeps its pages in memory")
    before = cold.disk_bytes()
    cold.recall([path])
    after = cold.disk_bytes()
    assert cold.resident_share([path]) == 1.0
    assert before is None or after is None or after - before >= 1 << 20
    assert cold.resident_share([]) is None and cold.resident_share([empty]) is None


def test_the_most_memory_held_is_of_this_process() -> None:
    peak = cold.peak_bytes()
    assert peak is not None and 1 << 20 < peak < 1 << 42


def test_the_list_of_sizes_is_by_position(tmp_path: Path) -> None:
    written = written_set(tmp_path)
    records = open_records(written.at("shards"))
    sizes = file_sizes(open_store(written.at("files")))
    assert sizes == [len(records[position]) for position in range(len(records))]
