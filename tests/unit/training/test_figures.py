"""Figures of epochs: in order, once each, and damage is told with the way out."""

from __future__ import annotations

import pytest

from pileus.errors import Damaged
from pileus.spec.job import EpochDone
from pileus.store.memory import MemoryStore
from pileus.training.figures import note_figures, read_figures


def done(epoch: int, loss: float = 0.5) -> EpochDone:
    return EpochDone(
        epoch=epoch,
        step=3 * epoch + 3,
        samples=30 * epoch + 30,
        train_loss=loss,
        train_accuracy=0.9,
        validation_loss=None,
        validation_accuracy=None,
        lr=0.1,
        seconds=1.0,
        phases_s={"compute": 1.0},
        fingerprint="f",
    )


def test_epochs_come_back_in_their_order() -> None:
    store = MemoryStore()
    assert read_figures(store) == []
    for epoch in range(3):
        note_figures(store, done(epoch))
    assert read_figures(store) == [done(0), done(1), done(2)]


def test_of_an_epoch_that_is_trained_again_the_later_figures_stay() -> None:
    store = MemoryStore()
    for epoch in range(3):
        note_figures(store, done(epoch))
    note_figures(store, done(1, loss=0.25))
    assert read_figures(store) == [done(0), done(1, loss=0.25)]


@pytest.mark.parametrize("garbage", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_damage_is_told_with_the_way_out(garbage: bytes) -> None:
    store = MemoryStore()
    note_figures(store, done(0))
    store.put("metrics.jsonl", store.get("metrics.jsonl").content + garbage)
    with pytest.raises(Damaged, match=r"metrics.jsonl is damaged.*delete it"):
        note_figures(store, done(1))
