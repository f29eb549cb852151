from __future__ import annotations

import pytest

from pileus.bundles.disagreements import Case, Disagreement, Disagreements, compared_pairs
from pileus.errors import Damaged
from pileus.store.memory import MemoryStore

PRODUCTION, SHADOW = "a" * 64, "b" * 64


def case(number: int, outcome: Disagreement = "label", size: int = 10) -> Case:
    return Case(
        outcome=outcome,
        request_id=str(number),
        at_s=float(number),
        media_type="application/octet-stream",
        whole=False,
        input=number.to_bytes(4, "little") + bytes(size),
        production={"text": "7", "items": []},
        shadow={"text": "1", "items": []},
    )


def test_counts_of_several_writers_add_up() -> None:
    store = MemoryStore()
    for writer in (Disagreements(store, PRODUCTION, SHADOW), Disagreements(store, PRODUCTION, SHADOW)):
        writer.add({"agreed": 3, "label": 1}, 5.0)
        writer.add({"dropped": 2}, 9.0)
    (pair,) = (each.pair() for each in compared_pairs(store))
    assert (pair.production, pair.shadow, pair.num_compared) == ("a" * 16, "b" * 16, 8)
    assert pair.counts is not None and pair.counts.since_s == 5.0
    assert pair.counts.by_outcome == {"agreed": 6, "items": 0, "label": 2, "verdict": 0, "failed": 0, "dropped": 4}


def test_cases_are_bounded_by_kind_and_size_and_one_an_input() -> None:
    store = MemoryStore()
    writer = Disagreements(store, PRODUCTION, SHADOW)
    for number in range(150):
        writer.keep(case(number))
    writer.keep(case(0, "verdict"))
    writer.keep(case(0, "verdict"))
    writer.keep(case(1, "items", size=2_000_000))
    kept = Disagreements(store, PRODUCTION, SHADOW).cases()
    assert [each.outcome for each in kept].count("label") == 100 and len(kept) == 101
    assert kept[0] == case(99)


def test_a_damaged_file_is_named() -> None:
    store = MemoryStore()
    writer = Disagreements(store, PRODUCTION, SHADOW)
    writer.keep(case(1))
    (key,) = store.list()
    store.put(key, b"{")
    with pytest.raises(Damaged, match=key):
        writer.cases()
