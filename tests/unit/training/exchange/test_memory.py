from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.training.exchange.memory import NO_OFFER, Inbox, Outbox


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    outbox = Outbox()
    yield outbox
    outbox.close()


def views(*arrays: NDArray[np.uint8]) -> list[memoryview]:
    return [memoryview(array) for array in arrays]  # type: ignore[arg-type]  # numpy does not tell of its buffers


def taken(inbox: Inbox, start: int, size: int) -> bytes:
    target = np.zeros(size, np.uint8)
    assert inbox.take(start, views(target))
    return target.tobytes()


def test_what_is_put_is_taken_also_after_the_memory_has_grown(outbox: Outbox) -> None:
    inbox = Inbox.of(outbox.offer)
    assert inbox is not None
    for size in (10, 5000, 4, 70_000):
        content = np.arange(size, dtype=np.uint32).view(np.uint8)
        start = outbox.put(views(content[:3], content[3:]), all_taken=True)
        assert start is not None
        assert taken(inbox, start, len(content)) == content.tobytes()
    inbox.close()


def test_the_last_put_stays_as_the_next_is_written(outbox: Outbox) -> None:
    inbox = Inbox.of(outbox.offer)
    assert inbox is not None
    first = outbox.put(views(np.full(8, 1, np.uint8)), all_taken=True)
    second = outbox.put(views(np.full(8, 2, np.uint8)), all_taken=False)
    assert first is not None and second is not None
    assert taken(inbox, first, 8) == bytes([1] * 8)
    assert taken(inbox, second, 8) == bytes([2] * 8)
    inbox.close()


def test_it_does_not_move_while_something_is_untaken(outbox: Outbox) -> None:
    assert outbox.put(views(np.zeros(8, np.uint8)), all_taken=True) is not None
    assert outbox.put(views(np.zeros(1 << 20, np.uint8)), all_taken=False) is None


def test_more_than_there_is_cannot_be_taken(outbox: Outbox) -> None:
    inbox = Inbox.of(outbox.offer)
    assert inbox is not None
    assert not inbox.take(1 << 20, views(np.zeros(8, np.uint8)))
    inbox.close()


def test_another_secret_another_process_and_no_offer_are_refused(outbox: Outbox) -> None:
    other = Outbox()
    forged = outbox.offer[:16] + other.offer[16:]
    assert Inbox.of(forged) is None
    assert Inbox.of((2**40).to_bytes(8, "little") + outbox.offer[8:]) is None
    assert Inbox.of(NO_OFFER) is None
    other.close()


def test_it_leaves_no_descriptor(outbox: Outbox) -> None:
    gc.collect()  # what an earlier test forgot must not close in this one, and give its number to ours
    before = set(Path("/proc/self/fd").iterdir())
    another = Outbox()
    inbox = Inbox.of(another.offer)
    assert inbox is not None
    start = another.put(views(np.ones(100, np.uint8)), all_taken=True)
    assert start is not None
    taken(inbox, start, 100)
    inbox.close()
    another.close()
    assert set(Path("/proc/self/fd").iterdir()) <= before
