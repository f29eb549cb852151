from __future__ import annotations

import itertools
import threading

import pytest

from pileus.data import feed as feeding
from pileus.data.feed import Feed
from pileus.errors import StoreError


def test_values_come_by_their_keys_in_nearly_any_order() -> None:
    feed = Feed(lambda key: key * key, iter(range(10)), readers=2, ahead=4)
    assert [feed.take(key) for key in (1, 0, 2, 4, 3, 9, 8, 7, 6, 5)] == [1, 0, 4, 16, 9, 81, 64, 49, 36, 25]
    feed.close()


def test_no_more_is_begun_than_was_allowed() -> None:
    begun: list[int] = []
    reached = threading.Event()

    def make(key: int) -> int:
        begun.append(key)
        if key == 3:
            reached.set()
        return key

    feed = Feed(make, itertools.count(), readers=2, ahead=3)
    assert feed.take(0) == 0
    assert reached.wait(10)
    feed.close()
    assert sorted(begun) == [0, 1, 2, 3]


def test_what_goes_wrong_is_raised_where_it_is_taken_and_the_rest_goes_on() -> None:
    def make(key: int) -> int:
        if key == 1:
            raise StoreError("the disk is gone")
        return key

    for readers in (0, 2):
        feed = Feed(make, iter(range(3)), readers=readers, ahead=2)
        assert feed.take(0) == 0
        with pytest.raises(StoreError, match="the disk is gone"):
            feed.take(1)
        assert feed.take(2) == 2
        feed.close()


def test_a_wait_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "DEADLINE_S", 0.01)
    end = threading.Event()
    feed = Feed(lambda key: end.wait(30), iter(range(1)), readers=1, ahead=1)
    with pytest.raises(StoreError, match=r"reading 0 took more than 0\.01 s"):
        feed.take(0)
    end.set()
    feed.close()


def test_without_readers_who_takes_makes() -> None:
    makers = []
    feed = Feed(lambda key: makers.append(threading.current_thread()), iter(range(2)), readers=0, ahead=5)
    feed.take(0)
    assert makers == [threading.current_thread()]
    assert feed.stall_s > 0


def test_closing_leaves_no_thread_and_nothing_waiting() -> None:
    before = set(threading.enumerate())
    feed = Feed(lambda key: key, itertools.count(), readers=3, ahead=9)
    feed.take(0)
    feed.close()
    assert set(threading.enumerate()) <= before
