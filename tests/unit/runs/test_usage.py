from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import StoreError
from pileus.runs.usage import USAGE_KEY, Book, RunUsage, read_usage
from pileus.spec.usage import Look, Use, Watched
from pileus.store.memory import MemoryStore


def look(at_s: float) -> Look:
    """Of a worker that keeps half a core busy."""
    return Look(
        at_s=at_s,
        cpu_s=at_s / 2,
        memory_bytes=1 << 20,
        read_bytes=None,
        written_bytes=0,
        host_cpu_s=at_s,
        host_memory_bytes=1 << 30,
        host_received_bytes=int(at_s),
        host_sent_bytes=0,
        host_read_bytes=0,
        host_written_bytes=0,
    )


def watched(worker: str, *times: float, attempt: int = 1) -> Watched:
    return Watched(worker=worker, host="here", cores=2, attempt=attempt, looks=tuple(map(look, times)))


def times(book: Book, worker: str, attempt: int = 1) -> list[float]:
    (found,) = (each for each in book.use().watched if (each.worker, each.attempt) == (worker, attempt))
    return [each.at_s for each in found.looks]


def test_looks_of_a_worker_are_put_together() -> None:
    book = Book()
    for at_s in (1.0, 2.0, 3.0):
        book.note(watched("rank 0", at_s))
        book.note(watched("rank 1", at_s))
    book.note(watched("rank 0", 9.0, attempt=2))
    book.note(watched("rank 1", 2.5))  # too late
    assert (times(book, "rank 0"), times(book, "rank 1")) == ([1, 2, 3], [1, 2, 3])
    assert times(book, "rank 0", attempt=2) == [9]


def test_a_long_run_has_few_looks_and_both_ends() -> None:
    book = Book(most=100)
    for at_s in range(10_000):
        for rank in range(3):
            book.note(watched(f"rank {rank}", float(at_s)))
    for rank in range(3):
        found = times(book, f"rank {rank}")
        assert (found[0], found[-1]) == (0, 9999)
        assert 12 <= len(found) <= 34
        steps = [after - before for before, after in itertools.pairwise(found)]
        assert max(steps) <= 4 * min(steps[:-1]), "all of the run is seen about as closely"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), st.floats(0, 1e6)), max_size=200), st.integers(4, 40))
def test_there_are_never_more_than_so_many(noted: list[tuple[int, int, float]], most: int) -> None:
    book = Book(most=most)
    for rank, attempt, at_s in noted:
        book.note(watched(f"rank {rank}", at_s, attempt=attempt))
    use = book.use()
    assert sum(len(each.looks) for each in use.watched) <= most
    for each in use.watched:
        assert [one.at_s for one in each.looks] == sorted(one.at_s for one in each.looks)


def test_a_run_that_is_taken_up_keeps_what_was_seen_before() -> None:
    store = MemoryStore("usage-kept")
    for attempt in (1, 2):
        usage = RunUsage(store)
        usage.note(watched("rank 0", attempt * 10.0, attempt * 10.0 + 1, attempt=attempt))
        usage.save()
    assert [(each.attempt, len(each.looks)) for each in read_usage(store).watched] == [(1, 2), (2, 2)]


class Full(MemoryStore):
    def put(self, key: str, content: bytes | memoryview, *, if_absent: bool = False) -> str:
        raise StoreError("no space left")


def test_a_store_that_takes_nothing_stops_no_run() -> None:
    usage = RunUsage(Full("usage-full"))
    usage.note(watched("rank 0", 1.0))
    usage.save()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", msgspec.json.encode({"watched": [{"worker": 1}]})])
def test_what_cannot_be_read_is_nothing(content: bytes) -> None:
    store = MemoryStore("usage-damaged")
    store.put(USAGE_KEY, content)
    assert read_usage(store) == Use()
