from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pileus.errors import Damaged, SourceError, UsageError
from pileus.records import RecordSet, open_records
from pileus.records.example import Example
from pileus.records.index import key_of
from pileus.store import open_store
from tests.unit.records.sets import CLASSES, examples, write_set

_SHARD = "shard-00001-of-00003.tfrecord"


@pytest.fixture
def records(tmp_path: Path) -> RecordSet:
    write_set(open_store(tmp_path))
    return open_records(str(tmp_path))


def _images() -> list[bytes]:
    return [example.image for example in examples()]


def test_a_set_gives_what_was_written(records: RecordSet) -> None:
    assert len(records) == 10
    assert records.classes == CLASSES
    assert records.labels.tolist() == [number % 3 for number in range(10)]
    assert records.labels.dtype == np.int32
    assert records.splits.tolist() == [number % 3 for number in range(10)]
    assert records.splits.dtype == np.uint8
    assert records.keys.tolist() == [key_of(f"id-{number}") for number in range(10)]
    assert records.keys.dtype == np.uint64
    assert [records.id(number) for number in range(10)] == [f"id-{number}" for number in range(10)]
    assert [bytes(records[number]) for number in range(10)] == _images()
    assert records.shape == records.shape_at(3) == (2, 2, 3)


def test_a_set_in_memory_is_read_alike() -> None:
    place = f"memory:{uuid.uuid4()}"
    write_set(open_store(place))
    assert [bytes(content) for _, content in open_records(place).contents(range(10))] == _images()


@pytest.mark.parametrize("positions", [[0], [9, 0, 4, 4], list(range(10)), [], [5, 6]])
def test_images_come_in_the_order_asked_for(records: RecordSet, positions: list[int]) -> None:
    images_NHWC = records.images(positions)
    assert images_NHWC.shape == (len(positions), 2, 2, 3)
    assert [image.tobytes() for image in images_NHWC] == [_images()[position] for position in positions]


def test_positions_outside_are_index_errors(records: RecordSet) -> None:
    for ask in (
        lambda: records[10],
        lambda: records[-1],
        lambda: records.images([0, 10]),
        lambda: records.images([-1]),
    ):
        with pytest.raises(IndexError):
            ask()


def test_another_process_opens_it_anew(records: RecordSet) -> None:
    assert bytes(pickle.loads(pickle.dumps(records))[3]) == _images()[3]
    assert len(pickle.dumps(records)) < 1000


def test_columns_cannot_be_written(records: RecordSet) -> None:
    for column in (records.labels, records.splits, records.keys):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0


def test_varying_images_are_no_one_array(tmp_path: Path) -> None:
    odd = Example(bytes(3), "raw", 1, 1, 3, 0, "a", "odd", 0)
    write_set(open_store(tmp_path), [*examples(), odd])
    records = open_records(str(tmp_path))
    assert records.shape is None
    assert bytes(records[10]) == bytes(3)
    with pytest.raises(UsageError, match="--resize"):
        records.images([0])


def test_where_there_is_no_set_is_told(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SourceError, match="holds no record set"):
            open_records(str(place))


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


_WAYS: list[Callable[[RecordSet], object]] = [
    lambda records: records[4],
    lambda records: records.images([4]),
    lambda records: records.images([0, 9, 4]),
    lambda records: records.images(range(10)),
]


@pytest.mark.parametrize("read", _WAYS)
def test_no_flipped_byte_of_a_record_goes_unseen(tmp_path: Path, read: Callable[[RecordSet], object]) -> None:
    """Record 4 of the set is the first of the second shard; bytes of all parts of its frame are tried."""
    write_set(open_store(tmp_path))
    records = open_records(str(tmp_path))
    frame_bytes = (tmp_path / _SHARD).stat().st_size // 3
    for offset in [*range(14), *range(14, frame_bytes - 4, 9), *range(frame_bytes - 4, frame_bytes)]:
        _flip(tmp_path / _SHARD, offset)
        with pytest.raises(Damaged, match=rf"record 0 of {_SHARD} \(record 4 of the set\), at byte 0"):
            read(records)
        _flip(tmp_path / _SHARD, offset)
    read(records)


def test_damage_names_its_place(tmp_path: Path) -> None:
    write_set(open_store(tmp_path))
    frame_bytes = (tmp_path / _SHARD).stat().st_size // 3
    _flip(tmp_path / _SHARD, 2 * frame_bytes + 20)
    records = open_records(str(tmp_path))
    records.images([0, 4, 5, 7])
    with pytest.raises(Damaged, match=rf"record 2 of {_SHARD} \(record 6 of the set\), at byte {2 * frame_bytes}"):
        records.images(range(10))


@pytest.mark.parametrize("read", [lambda records: records[6], lambda records: records.images(range(10))])
def test_a_truncated_shard_is_told(tmp_path: Path, read: Callable[[RecordSet], object]) -> None:
    write_set(open_store(tmp_path))
    content = (tmp_path / _SHARD).read_bytes()
    (tmp_path / _SHARD).write_bytes(content[:-1])
    with pytest.raises(Damaged, match=r"record 2 of shard-00001.*truncated"):
        read(open_records(str(tmp_path)))


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    write_set(open_store(tmp_path))
    (tmp_path / _SHARD).unlink()
    records = open_records(str(tmp_path))
    records.images([0, 1])
    for ask in (lambda: records[4], lambda: records.images(range(10))):
        with pytest.raises(Damaged, match=r"shard-00001.*missing"):
            ask()


@pytest.mark.parametrize("name", ["index.bin", "manifest.json"])
def test_a_flipped_byte_of_index_or_manifest_is_told(tmp_path: Path, name: str) -> None:
    write_set(open_store(tmp_path))
    for offset in range(0, (tmp_path / name).stat().st_size, 29):
        _flip(tmp_path / name, offset)
        with pytest.raises(Damaged):
            open_records(str(tmp_path))
        _flip(tmp_path / name, offset)


@pytest.mark.parametrize("name", ["index.bin", "manifest.json"])
@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_truncated_index_or_manifest_is_told(tmp_path: Path, name: str, kept: int) -> None:
    write_set(open_store(tmp_path))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Damaged):
        open_records(str(tmp_path))


def test_a_missing_index_is_told(tmp_path: Path) -> None:
    write_set(open_store(tmp_path))
    (tmp_path / "index.bin").unlink()
    with pytest.raises(Damaged, match=r"index\.bin is missing"):
        open_records(str(tmp_path))
