from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import google_crc32c
import pytest

from pileus.data.sources.digits import open_digits
from pileus.data.write import write_records
from pileus.errors import Damaged, NotFound, StoreError, UsageError
from pileus.records.read import RecordSet
from pileus.store import cache as caching
from pileus.store import open_store
from pileus.store.cache import Cache, CachedStore, Value, default_cache
from pileus.store.memory import MemoryStore
from pileus.store.ports import Abilities, Blob


class Counted(MemoryStore):
    """Counts what is fetched from it."""

    def __init__(self) -> None:
        super().__init__("counted")
        self.fetched: list[str] = []
        self.ranges: list[tuple[str, int, int]] = []

    def get(self, key: str) -> Blob:
        self.fetched.append(key)
        return super().get(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.ranges += [(key, *each) for each in ranges]
        return super().get_ranges(key, ranges)


def _value(content: bytes) -> Value:
    return Value(len(content), google_crc32c.value(content))


def _held(folder: Path, size: int = 1 << 20) -> Callable[[Counted, dict[str, bytes]], CachedStore]:
    """A new process's view of a store through the cache in a folder."""

    def held(store: Counted, values: dict[str, bytes]) -> CachedStore:
        for key, content in values.items():
            store.put(key, content)
        return CachedStore(store, Cache(folder, size), {key: _value(content) for key, content in values.items()})

    return held


def test_a_value_is_fetched_once_for_all_ranges_and_processes(tmp_path: Path) -> None:
    store, values = Counted(), {"a": b"0123456789"}
    first = _held(tmp_path / "new")(store, values)
    assert first.get_ranges("a", [(0, 3), (9, 10)]) == [b"012", b"9"]
    assert first.get_ranges("a", [(4, 6)]) == [b"45"]
    assert _held(tmp_path / "new")(store, values).get_ranges("a", [(0, 10)]) == [b"0123456789"]
    assert store.fetched == ["a"]


def test_what_is_not_named_goes_past_it(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"one"})
    cached.put("b", b"two")
    assert cached.get_ranges("b", [(0, 3)]) == [b"two"]
    assert cached.list() == ["a", "b"]
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_changed_under_its_key_is_another(tmp_path: Path) -> None:
    store = Counted()
    assert _held(tmp_path)(store, {"a": b"one"}).get_ranges("a", [(0, 3)]) == [b"one"]
    assert _held(tmp_path)(store, {"a": b"two"}).get_ranges("a", [(0, 3)]) == [b"two"]


@pytest.mark.parametrize("damaged", [b"01234X6789", b"0123", b"0123456789more", b""])
def test_a_damaged_copy_is_fetched_again(tmp_path: Path, damaged: bytes) -> None:
    store, values = Counted(), {"a": b"0123456789"}
    _held(tmp_path)(store, values).get_ranges("a", [(0, 3)])
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damaged)
    again = _held(tmp_path)(store, values)
    assert again.get_ranges("a", [(3, 8)]) == [b"34567"]
    assert store.fetched == ["a", "a"]
    assert kept.read_bytes() == b"0123456789"


def test_a_copy_cut_short_in_use_is_not_trusted(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"0123456789"})
    cached.get_ranges("a", [(0, 3)])
    (kept,) = tmp_path.iterdir()
    os.truncate(kept, 4)
    assert cached.get_ranges("a", [(3, 8)]) == [b"34567"]
    assert cached.get_ranges("a", [(3, 8)]) == [b"34567"]
    assert kept.read_bytes() == b"0123456789"


def test_what_is_not_the_value_is_not_kept(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"0123456789"})
    store.put("a", b"012345678X")
    assert cached.get_ranges("a", [(8, 10)]) == [b"8X"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="truncated"):
        cached.get_ranges("a", [(8, 11)])


def test_a_store_out_of_reach_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"one"})
    store.delete("a")
    with pytest.raises(StoreError):
        cached.get_ranges("a", [(0, 1)])
    assert list(tmp_path.iterdir()) == []


def test_the_folder_stays_within_its_bound_and_loses_the_oldest(tmp_path: Path) -> None:
    store = Counted()
    values = {key: key.encode() * 400 for key in "abcd"}
    cached = _held(tmp_path, 1000)(store, values)
    times = iter(range(1, 100))

    def use(key: str) -> None:
        before = set(tmp_path.iterdir())
        cached.get_ranges(key, [(0, 1)])
        for path in set(tmp_path.iterdir()) - before:
            os.utime(path, (now := next(times), now))

    use("a")
    use("b")
    use("a")  # the touch of this use makes it the newest
    use("c")
    assert Cache(tmp_path).used_bytes() == 800
    store.fetched.clear()
    use("a")
    assert store.fetched == []
    use("b")
    assert store.fetched == ["b"]
    assert Cache(tmp_path).used_bytes() <= 1000


def test_a_value_above_the_bound_goes_past_it(tmp_path: Path) -> None:
    cached = _held(tmp_path, 9)(Counted(), {"a": b"0123456789"})
    assert cached.get_ranges("a", [(0, 3)]) == [b"012"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Counted()
    cached = _held(tmp_path / "file" / "below")(store, {"a": b"one"})
    assert cached.get_ranges("a", [(0, 3)]) == [b"one"]


def test_many_threads_and_processes_fetch_a_value_once(tmp_path: Path) -> None:
    """Each thread has a cache of its own, as a process has: locks of files hold between open files."""
    content = os.urandom(1 << 20)
    store = Counted()
    store.put("a", content)
    start, got = threading.Barrier(6), []

    def read() -> None:
        cached = CachedStore(store, Cache(tmp_path), {"a": _value(content)})
        start.wait(10)
        got.append(cached.get_ranges("a", [(5, 1000)])[0])

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [content[5:1000]] * 6
    assert store.fetched == ["a"]
    assert [path.suffix for path in tmp_path.iterdir()] == [""]


def test_a_large_value_is_fetched_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_PIECE_BYTES", 4)
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"0123456789"})
    assert cached.get_ranges("a", [(3, 8), (0, 1)]) == [b"34567", b"0"]
    assert store.ranges == [("a", 0, 4), ("a", 4, 8), ("a", 8, 10)]
    assert _held(tmp_path)(store, {}).get_ranges("a", [(9, 10)]) == [b"9"]


def test_a_store_without_ranges_gives_a_large_value_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_PIECE_BYTES", 4)
    store = Counted()
    store.abilities = Abilities(ranges=False)
    assert _held(tmp_path)(store, {"a": b"0123456789"}).get_ranges("a", [(3, 8)]) == [b"34567"]
    assert (store.fetched, store.ranges) == (["a"], [])


def test_what_is_wanted_is_fetched_several_at_a_time(tmp_path: Path) -> None:
    """Each fetch waits for three others to be under way."""
    together = threading.Barrier(4)

    class Slow(Counted):
        def get(self, key: str) -> Blob:
            together.wait(10)
            return super().get(key)

    store, values = Slow(), {key: key.encode() for key in "abcdefgh"}
    cached = _held(tmp_path)(store, values)
    cached.want([*values, "a", "unknown"])
    cached.want(values)
    threads = [thread for thread in threading.enumerate() if thread.name == "fetch"]
    assert len(threads) <= 4
    for thread in threads:
        thread.join(10)
    assert sorted(store.fetched) == sorted(values)
    assert [cached.get_ranges(key, [(0, 1)]) for key in values] == [[key.encode()] for key in values]
    assert (len(store.fetched), store.ranges) == (8, [])


def test_what_cannot_be_kept_is_not_fetched_ahead(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path, 3)(store, {key: key.encode() for key in "abcd"})
    cached.want("abcd")
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]
    assert store.fetched == []


def test_what_cannot_be_fetched_ahead_is_told_to_who_reads_it(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path)(store, {"a": b"one", "b": b"two"})
    store.delete("a")
    cached.want("ab")
    for thread in [thread for thread in threading.enumerate() if thread.name == "fetch"]:
        thread.join(10)
    assert cached.get_ranges("b", [(0, 3)]) == [b"two"]
    with pytest.raises(NotFound):
        cached.get_ranges("a", [(0, 1)])


def test_what_a_killed_fetch_left_is_taken_over_or_swept(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path, 1000)(store, {"a": b"a" * 400, "b": b"b" * 400})
    cached.get_ranges("a", [(0, 1)])
    (kept,) = tmp_path.iterdir()
    half = kept.rename(f"{kept}.part")
    os.truncate(half, 100)
    assert _held(tmp_path, 1000)(store, {"a": b"a" * 400}).get_ranges("a", [(0, 400)]) == [b"a" * 400]
    stray = tmp_path / "stray.part"
    stray.write_bytes(b"x" * 900)
    os.utime(stray, (1, 1))
    cached.get_ranges("b", [(0, 1)])
    assert not stray.exists()


def test_what_another_process_is_fetching_is_left_alone(tmp_path: Path) -> None:
    store = Counted()
    cached = _held(tmp_path, 1000)(store, {"a": b"a" * 400})
    busy = tmp_path / "busy.part"
    with busy.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(900)
        os.utime(busy, (1, 1))
        cached.get_ranges("a", [(0, 1)])
        assert busy.exists()


def test_a_fetch_that_does_not_end_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_FETCH_DEADLINE_S", 0.02)
    store, values = Counted(), {"a": b"one"}
    _held(tmp_path)(store, values).get_ranges("a", [(0, 1)])
    (kept,) = tmp_path.iterdir()
    kept.unlink()
    with Path(f"{kept}.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert _held(tmp_path)(store, values).get_ranges("a", [(0, 3)]) == [b"one"]


def test_a_damaged_copy_is_no_damage_of_the_record_set(tmp_path: Path) -> None:
    """Also where it is damaged while it is in use: the record's own checksum tells."""
    write_records(open_digits(), str(tmp_path / "set"))
    folder = tmp_path / "cache"
    records = RecordSet(open_store(tmp_path / "set"), Cache(folder))
    before = records.images(range(len(records)))
    for number in (0, 17):
        (kept,) = folder.iterdir()
        with kept.open("r+b") as file:
            file.write(bytes(kept.stat().st_size))
        assert bytes(records[number]) == before[number].tobytes()
    (kept,) = folder.iterdir()
    kept.write_bytes(b"")
    assert (records.images(range(len(records))) == before).all()


def test_damage_of_the_set_itself_is_told(tmp_path: Path) -> None:
    write_records(open_digits(), str(tmp_path / "set"))
    (shard,) = (tmp_path / "set").glob("*.tfrecord")
    with shard.open("r+b") as file:
        file.seek(30)
        file.write(b"XXX")
    records = RecordSet(open_store(tmp_path / "set"), Cache(tmp_path / "cache"))
    with pytest.raises(Damaged, match="record 0 of"):
        records[0]
    assert len(bytes(records[5])) == 64


def test_the_users_cache_is_set_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PILEUS_CACHE", "PILEUS_CACHE_BYTES", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = default_cache()
    assert chosen is not None
    assert (chosen.folder, chosen.max_bytes) == (tmp_path / ".cache/pileus/shards", 10 << 30)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert (chosen := default_cache()) and chosen.folder == tmp_path / "xdg/pileus/shards"
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("PILEUS_CACHE_BYTES", "5000")
    assert (chosen := default_cache()) and (chosen.folder, chosen.max_bytes) == (tmp_path / "own", 5000)
    monkeypatch.setenv("PILEUS_CACHE_BYTES", "0")
    assert default_cache() is None
    monkeypatch.setenv("PILEUS_CACHE_BYTES", "10GB")
    with pytest.raises(UsageError, match="a number of bytes"):
        default_cache()
