"""The ledger proves that each sample was taken once an epoch, and finds what was not."""

from __future__ import annotations

import numpy as np
import pytest

from pileus.errors import Damaged
from pileus.store import Store
from pileus.store.memory import MemoryStore
from pileus.training.ledger import Page, PageHead, pages_back_from, prove, read_page, write_page

SAMPLES = np.arange(10, 16)


def chain(store: Store, *pages: tuple[int, list[int]]) -> str:
    previous: str | None = None
    for number, (epoch, positions) in enumerate(pages):
        head = PageHead(epoch=epoch, first_step=number, last_step=number + 1, samples=len(positions), previous=previous)
        previous = write_page(store, Page(head, np.array(positions, np.uint32)))
    assert previous is not None
    return previous


def faults(*pages: tuple[int, list[int]], whole_epochs: int) -> list[str]:
    store = MemoryStore()
    return prove(pages_back_from(store, chain(store, *pages)), SAMPLES, whole_epochs)


def test_pages_come_back_newest_first() -> None:
    store = MemoryStore()
    last = chain(store, (0, [10, 11]), (0, [12]), (1, [13]))
    assert [page.positions.tolist() for page in pages_back_from(store, last)] == [[13], [12], [10, 11]]


def test_the_same_page_written_twice_is_one() -> None:
    store = MemoryStore()
    assert chain(store, (0, [10])) == chain(store, (0, [10]))
    assert len(store.list("ledger/")) == 1


def test_each_sample_once_in_any_order_is_right() -> None:
    assert faults((0, [15, 10, 11]), (0, [14, 13, 12]), (1, list(range(10, 16))), whole_epochs=2) == []
    assert faults((0, list(range(10, 16))), (1, [12, 10]), whole_epochs=1) == []


def test_missing_doubled_and_strange_samples_are_told_by_epoch() -> None:
    assert faults((0, [10, 11, 12, 13, 14]), whole_epochs=1) == [
        "epoch 0: 1 samples missing, 0 taken twice, 0 of another part"
    ]
    assert faults((0, [*range(10, 16), 10]), whole_epochs=1) == [
        "epoch 0: 0 samples missing, 1 taken twice, 0 of another part"
    ]
    assert faults((0, list(range(10, 16))), (1, [9, 10, 10]), whole_epochs=1) == [
        "epoch 1: 0 samples missing, 1 taken twice, 1 of another part"
    ]
    assert len(faults((0, list(range(10, 16))), whole_epochs=2)) == 1


def test_a_changed_or_missing_page_breaks_the_chain() -> None:
    store = MemoryStore()
    key = chain(store, (0, [10]))
    content = bytearray(store.get(key).content)
    content[-1] ^= 1
    store.put(key, bytes(content))
    with pytest.raises(Damaged, match="was changed"):
        read_page(store, key)
    store.delete(key)
    with pytest.raises(Damaged, match="is missing"):
        read_page(store, key)
