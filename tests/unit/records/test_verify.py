from __future__ import annotations

from pathlib import Path

import pytest

from pileus.errors import SourceError
from pileus.records import Damage, VerifyReport, manifest, verify_records
from pileus.records.write import write_shard
from pileus.store import open_store
from tests.unit.records.sets import examples, write_set

_SHARDS = [manifest.shard_key(number, 3) for number in range(3)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_set(open_store(tmp_path))
    return tmp_path


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def _found(place: Path) -> list[tuple[str | None, int | None, int | None]]:
    return [(one.shard, one.record, one.offset) for one in verify_records(str(place)).damage]


def test_a_whole_set_is_whole(place: Path) -> None:
    told: list[tuple[int, int]] = []
    report = verify_records(str(place), lambda done, total: told.append((done, total)))
    assert report.ok
    assert (report.shards, report.records) == (3, 10)
    assert report.size_bytes == sum((place / name).stat().st_size for name in _SHARDS)
    assert report.fingerprint == manifest.load(open_store(place)).fingerprint
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_all_damage_is_listed(place: Path) -> None:
    frame_bytes = (place / _SHARDS[0]).stat().st_size // 4
    _flip(place / _SHARDS[0], 0)
    _flip(place / _SHARDS[0], 2 * frame_bytes + 30)
    (place / _SHARDS[1]).unlink()
    (place / _SHARDS[2]).write_bytes((place / _SHARDS[2]).read_bytes()[: frame_bytes + 5])
    report = verify_records(str(place))
    assert report.damage == [
        Damage("length or its checksum does not hold", _SHARDS[0], 0, 0),
        Damage("checksum of the data does not hold", _SHARDS[0], 2, 2 * frame_bytes),
        Damage("the shard is missing", _SHARDS[1]),
        Damage(f"truncated: the shard ends at byte {frame_bytes + 5}; 2 of 3 records lost", _SHARDS[2], 1, frame_bytes),
    ]
    assert report.records == 3


def test_a_flipped_byte_of_a_shard_is_one_damage(place: Path) -> None:
    frame_bytes = (place / _SHARDS[1]).stat().st_size // 3
    for offset in range(0, 3 * frame_bytes, 5):
        _flip(place / _SHARDS[1], offset)
        record = offset // frame_bytes
        assert _found(place) == [(_SHARDS[1], record, record * frame_bytes)]
        _flip(place / _SHARDS[1], offset)


def test_bytes_after_the_last_record_are_seen(place: Path) -> None:
    with (place / _SHARDS[2]).open("ab") as file:
        file.write(b"more")
    assert _found(place) == [(_SHARDS[2], None, None)]


def test_swapped_shards_are_seen(place: Path) -> None:
    one, other = ((place / name).read_bytes() for name in _SHARDS[1:])
    (place / _SHARDS[1]).write_bytes(other)
    (place / _SHARDS[2]).write_bytes(one)
    assert [(damage.shard, damage.what) for damage in verify_records(str(place)).damage] == [
        (_SHARDS[1], f"swapped: it holds the bytes of {_SHARDS[2]}"),
        (_SHARDS[2], f"swapped: it holds the bytes of {_SHARDS[1]}"),
    ]


def test_a_whole_record_in_a_wrong_place_is_seen(place: Path) -> None:
    content, other = ((place / name).read_bytes() for name in _SHARDS[1:])
    frame_bytes = len(content) // 3
    (place / _SHARDS[1]).write_bytes(content[:frame_bytes] + other[frame_bytes:])
    report = verify_records(str(place))
    assert [one.record for one in report.damage] == [1, 2]
    assert all("index disagrees" in one.what for one in report.damage)


@pytest.mark.parametrize("content", [None, b"0 12\n", b"no offsets"])
def test_a_wrong_text_of_offsets_is_seen(place: Path, content: bytes | None) -> None:
    path = place / manifest.offsets_key(_SHARDS[1])
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    (damage,) = verify_records(str(place)).damage
    assert damage.shard == _SHARDS[1]
    assert path.name in damage.what


def test_without_an_index_the_records_are_still_checked(place: Path) -> None:
    _flip(place / manifest.INDEX_KEY, 40)
    frame_bytes = (place / _SHARDS[1]).stat().st_size // 3
    _flip(place / _SHARDS[1], frame_bytes + 30)
    _flip(place / _SHARDS[2], frame_bytes)
    report = verify_records(str(place))
    assert ["index.bin is damaged" in one.what for one in report.damage] == [True, False, False]
    assert [(one.shard, one.record, one.offset) for one in report.damage[1:]] == [
        (_SHARDS[1], 1, frame_bytes),
        (_SHARDS[2], 1, frame_bytes),
    ]
    assert report.records == 4 + 2 + 2


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_without_a_manifest_the_records_are_still_checked(place: Path, damage: str) -> None:
    if damage == "flipped":
        _flip(place / manifest.MANIFEST_KEY, 30)
    else:
        (place / manifest.MANIFEST_KEY).unlink()
    report = verify_records(str(place))
    assert len(report.damage) == 1
    assert manifest.MANIFEST_KEY in str(report.damage[0])
    assert (report.shards, report.records) == (3, 10)


def test_a_stray_shard_is_seen(place: Path) -> None:
    write_shard(open_store(place), "shard-00007-of-00009.tfrecord", examples()[:1])
    assert _found(place) == [("shard-00007-of-00009.tfrecord", None, None)]


def test_where_there_is_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no record set"):
        verify_records(str(tmp_path))


def test_damage_reads_well() -> None:
    assert str(Damage("truncated", "shard-1", 3, 500)) == "shard-1, record 3, byte 500: truncated"
    assert str(Damage("the index is missing")) == "record set: the index is missing"
    assert VerifyReport("file:x").ok
