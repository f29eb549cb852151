"""A wish for another number of workers is heard once, by who listens when it is uttered."""

from __future__ import annotations

from pileus.runs.wishes import Wishes, wish_workers
from pileus.store.memory import MemoryStore


def test_a_wish_is_heard_once_and_again_when_it_is_uttered_again() -> None:
    store = MemoryStore()
    ear = Wishes(store)
    assert ear.heard() is None
    wish_workers(store, 4)
    assert [ear.heard(), ear.heard()] == [4, None]
    wish_workers(store, 4)
    assert ear.heard() == 4


def test_of_two_wishes_the_later_counts() -> None:
    store = MemoryStore()
    ear = Wishes(store)
    wish_workers(store, 4)
    wish_workers(store, 2)
    assert [ear.heard(), ear.heard()] == [2, None]


def test_what_was_wished_of_another_drive_does_not_count() -> None:
    store = MemoryStore()
    wish_workers(store, 4)
    assert Wishes(store).heard() is None


def test_what_cannot_be_read_is_no_wish() -> None:
    store = MemoryStore()
    ear = Wishes(store)
    for content in (
        b"{",
        b"\xff",
        b"{}",
        b'{"workers": 0, "word": ""}',
        b'{"workers": 1e9, "word": ""}',
        b"[" * 100_000,
    ):
        store.put("resize.json", content)
        assert ear.heard() is None
