from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.errors import Damaged, SourceError, StoreError
from pileus.records import manifest, open_records, rebuild_index, repair, repair_records, verify_records
from pileus.records.example import Example
from pileus.store import Store, open_store
from tests.unit.records.sets import CLASSES, examples, write_set

_SHARDS = [manifest.shard_key(number, 3) for number in range(3)]
_HELD = {_SHARDS[0]: range(4), _SHARDS[1]: range(4, 7), _SHARDS[2]: range(7, 10)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_set(open_store(tmp_path / "set"))
    return tmp_path / "set"


def _contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def _flip(place: Path, shard: int, record: int, at: int = 30) -> None:
    path = place / _SHARDS[shard]
    content = bytearray(path.read_bytes())
    content[record * (len(content) // len(_HELD[path.name])) + at] ^= 1
    path.write_bytes(content)


def _flip_several(place: Path) -> None:
    for shard, record in ((0, 0), (0, 3), (2, 2)):
        _flip(place, shard, record)


def _flip_beside_a_lost_index(place: Path) -> None:
    _flip(place, 1, 0)
    (place / "index.bin").unlink()


def _truncate(place: Path) -> None:
    path = place / _SHARDS[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swap(place: Path) -> None:
    one, other = ((place / name).read_bytes() for name in _SHARDS[1:])
    (place / _SHARDS[1]).write_bytes(other)
    (place / _SHARDS[2]).write_bytes(one)


def _lengthen(place: Path) -> None:
    with (place / _SHARDS[0]).open("ab") as file:
        file.write(b"more")


def _stale_index(place: Path) -> None:
    other = place.parent / "other"
    write_set(open_store(other), examples()[::-1])
    shutil.copy(other / "index.bin", place / "index.bin")


DAMAGE: dict[str, tuple[Callable[[Path], object], set[int]]] = {
    "a length": (lambda place: _flip(place, 1, 1, 0), {5}),
    "the checksum of a length": (lambda place: _flip(place, 1, 1, 9), {5}),
    "data": (lambda place: _flip(place, 0, 0), {0}),
    "the checksum of data": (lambda place: _flip(place, 0, 1, -2), {0}),
    "several": (_flip_several, {0, 3, 9}),
    "a truncated shard": (_truncate, {5, 6}),
    "a missing shard": (lambda place: (place / _SHARDS[1]).unlink(), {4, 5, 6}),
    "swapped shards": (_swap, set()),
    "bytes after the last record": (_lengthen, set()),
    "a stale index": (_stale_index, set()),
    "a missing index": (lambda place: (place / "index.bin").unlink(), set()),
    "a missing text of offsets": (lambda place: (place / "shard-00001-of-00003.idx").unlink(), set()),
    "a stray shard": (lambda place: shutil.copy(place / _SHARDS[1], place / "shard-00007-of-00009.tfrecord"), set()),
    "a shard and the index": (_flip_beside_a_lost_index, {4}),
}
"""What is done to a set, and the records that are bad then."""


@pytest.mark.parametrize("name", DAMAGE)
def test_only_what_is_bad_is_dropped(place: Path, name: str) -> None:
    damage, bad = DAMAGE[name]
    damage(place)
    assert not verify_records(str(place)).ok
    report = repair_records(str(place))
    lost = {_HELD[one.shard or ""][one.record or 0] for one in report.dropped}
    assert (lost, report.refetched) == (bad, [])
    assert not report.was_whole
    records = open_records(str(place))
    kept = [example for number, example in enumerate(examples()) if number not in bad]
    assert [records.id(number) for number in range(len(records))] == [example.id for example in kept]
    assert [bytes(content) for _, content in records.contents(range(len(records)))] == [each.image for each in kept]
    assert (records.classes, records.manifest.dropped) == (CLASSES, len(bad))
    assert verify_records(str(place)).ok
    assert repair_records(str(place)).was_whole


@pytest.mark.parametrize("name", DAMAGE)
def test_only_what_is_bad_is_fetched_again(place: Path, name: str) -> None:
    damage, bad = DAMAGE[name]
    before = _contents(place)
    fingerprint = open_records(str(place)).fingerprint
    damage(place)
    asked: list[int] = []

    def refetch(position: int) -> Example:
        asked.append(position)
        return examples()[position]

    report = repair_records(str(place), refetch)
    assert (set(asked), report.dropped) == (bad, [])
    assert {_HELD[one.shard or ""][one.record or 0] for one in report.refetched} == bad
    assert verify_records(str(place)).ok
    assert open_records(str(place)).fingerprint == fingerprint
    if name != "swapped shards":
        assert _contents(place) == before


def test_a_source_that_gives_something_else_is_refused(place: Path) -> None:
    _flip(place, 0, 0)
    before = _contents(place)
    with pytest.raises(Damaged, match="other bytes for shard-00000"):
        repair_records(str(place), lambda position: examples()[position]._replace(image=bytes(12)))
    assert _contents(place) == before


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_lost_manifest_is_made_anew(place: Path, damage: str) -> None:
    before = open_records(str(place)).manifest
    path = place / manifest.MANIFEST_KEY
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"records", b"recordz", 1))
    _flip(place, 1, 1)
    report = repair_records(str(place))
    assert [(one.shard, one.record) for one in report.dropped] == [(_SHARDS[1], 1)]
    assert verify_records(str(place)).ok
    assert (report.manifest and report.manifest.classes, report.manifest and report.manifest.origin) == (CLASSES, None)
    assert open_records(str(place)).manifest.shape == before.shape


@pytest.mark.parametrize("lost", [["index.bin"], ["index.bin", "manifest.json"], ["manifest.json"], []])
def test_the_index_follows_from_the_shards_alone(place: Path, lost: list[str]) -> None:
    records = open_records(str(place))
    fingerprint, splits = records.fingerprint, records.splits.tolist()
    index = (place / "index.bin").read_bytes()
    for name in [*lost, *(path.name for path in place.glob("*.idx"))]:
        (place / name).unlink()
    assert rebuild_index(str(place)).fingerprint == fingerprint
    assert (place / "index.bin").read_bytes() == index
    assert open_records(str(place)).splits.tolist() == splits
    assert verify_records(str(place)).ok


def test_no_index_is_made_of_damaged_shards(place: Path) -> None:
    _flip(place, 1, 1)
    with pytest.raises(Damaged, match=rf"record 1 of {_SHARDS[1]}, at byte \d+, is damaged: checksum of the data"):
        rebuild_index(str(place))
    (place / _SHARDS[1]).unlink()
    with pytest.raises(Damaged, match=f"lacks {_SHARDS[1]}"):
        rebuild_index(str(place))
    (place / manifest.MANIFEST_KEY).unlink()
    with pytest.raises(Damaged, match=f"lacks {_SHARDS[1]}"):
        rebuild_index(str(place))


def test_what_is_no_finished_set_is_left_alone(place: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no record set"):
        repair_records(str(tmp_path / "absent"))
    (place / manifest.MANIFEST_KEY).unlink()
    (place / manifest.part_key(_SHARDS[0])).write_bytes(b"an unfinished write has these")
    for mend in (repair_records, rebuild_index):
        with pytest.raises(SourceError, match="not finished; write it again"):
            mend(str(place))


def test_a_set_without_a_whole_record_is_told(place: Path) -> None:
    for name in _SHARDS:
        (place / name).unlink()
    with pytest.raises(Damaged, match="no whole record left"):
        repair_records(str(place))


class Dying:
    """A store whose n-th change does not happen, nor anything after it."""

    def __init__(self, store: Store, changes: int) -> None:
        self._store, self._changes = store, changes
        self.uri, self.abilities = store.uri, store.abilities
        self.get, self.list, self.get_ranges = store.get, store.list, store.get_ranges

    def _live(self) -> None:
        self._changes -= 1
        if self._changes < 0:
            raise StoreError("killed")

    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        self._live()
        return self._store.put(key, content, if_absent=if_absent)

    def swap(self, key: str, content: bytes, version: str) -> str:
        self._live()
        return self._store.swap(key, content, version)

    def delete(self, key: str) -> None:
        self._live()
        self._store.delete(key)


def _readable(place: Path) -> set[bytes]:
    """Images that can be read."""
    found = set()
    records = open_records(str(place))
    for position in range(len(records)):
        try:
            found.add(bytes(records[position]))
        except Damaged:
            continue
    return found


@pytest.mark.parametrize("refetched", [False, True])
@pytest.mark.parametrize("name", ["several", "swapped shards", "a missing shard"])
def test_a_repair_killed_at_any_change_loses_nothing(
    place: Path, name: str, refetched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    DAMAGE[name][0](place)
    refetch = (lambda position: examples()[position]) if refetched else None
    before, readable = _contents(place), _readable(place)
    for changes in range(30):
        shutil.rmtree(place)
        place.mkdir()
        for key, content in before.items():
            (place / key).write_bytes(content)
        with monkeypatch.context() as patch:
            patch.setattr(repair, "open_store", lambda uri, changes=changes: Dying(open_store(uri), changes))
            try:
                repair_records(str(place), refetch)
                break
            except StoreError:
                assert _readable(place) >= readable
        report = repair_records(str(place), refetch)
        assert report.manifest is not None
        assert _readable(place) >= readable
        assert verify_records(str(place)).ok
        assert len(open_records(str(place))) == 10 - (0 if refetched else len(DAMAGE[name][1]))
    assert 0 < changes < 29
