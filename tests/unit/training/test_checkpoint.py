"""Checkpoints: whole or not there; damage is found and passed over, and that is said."""

from __future__ import annotations

import numpy as np
import pytest

from pileus.errors import Damaged
from pileus.store import Store
from pileus.store.memory import MemoryStore
from pileus.training.checkpoint import (
    Position,
    best_whole,
    list_checkpoints,
    load_checkpoint,
    newest_whole,
    prune,
    write_checkpoint,
)

TENSORS = {
    "weights/a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optimizer/velocity/a": np.ones((2, 3), np.float32),
}


def written(store: Store, epochs: int) -> list[str]:
    return [
        write_checkpoint(store, TENSORS, Position(epoch=epoch, global_step=epoch * 10), f"print{epoch}", None)
        for epoch in range(1, epochs + 1)
    ]


def flip(store: Store, key: str, at: int) -> None:
    content = bytearray(store.get(key).content)
    content[at] ^= 1
    store.put(key, bytes(content))


def test_what_is_written_is_read() -> None:
    store = MemoryStore()
    (key,) = written(store, 1)
    checkpoint, tensors = load_checkpoint(store, key)
    assert key == "checkpoints/00001-00000000"
    assert checkpoint.manifest.position == Position(epoch=1, global_step=10)
    assert {name: array.tolist() for name, array in tensors.items()} == {n: a.tolist() for n, a in TENSORS.items()}


@pytest.mark.parametrize("file", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("at", [0, 40, -2])
def test_any_flipped_byte_is_found_and_the_one_before_taken(file: str, at: int) -> None:
    store = MemoryStore()
    keys = written(store, 2)
    flip(store, f"{keys[1]}/{file}", at)
    said: list[str] = []
    newest = newest_whole(store, said.append)
    assert newest is not None and newest.key == keys[0]
    assert len(said) == 1 and keys[1] in said[0]


def test_without_its_manifest_a_checkpoint_is_none() -> None:
    store = MemoryStore()
    keys = written(store, 2)
    store.delete(f"{keys[1]}/manifest.json")
    assert list_checkpoints(store) == keys[:1]
    with pytest.raises(Damaged, match="not completed"):
        load_checkpoint(store, keys[1])


def test_without_its_content_a_checkpoint_is_damaged() -> None:
    store = MemoryStore()
    (key,) = written(store, 1)
    store.delete(f"{key}/state.safetensors")
    with pytest.raises(Damaged, match="missing"):
        load_checkpoint(store, key)
    assert newest_whole(store) is None


def test_what_a_killed_writer_left_is_written_over() -> None:
    store = MemoryStore()
    store.put("checkpoints/00001-00000000/state.safetensors", b"half")
    (key,) = written(store, 1)
    assert load_checkpoint(store, key)[0].key == key


def test_the_newest_are_kept() -> None:
    store = MemoryStore()
    keys = written(store, 5)
    prune(store, keys[4], 2)
    assert list_checkpoints(store) == keys[3:]
    assert len(store.list("checkpoints/")) == 4


def with_losses(store: Store, *losses: float | None) -> list[str]:
    return [
        write_checkpoint(store, TENSORS, Position(epoch=epoch), "print", None, loss)
        for epoch, loss in enumerate(losses, start=1)
    ]


def test_the_best_is_kept_beside_the_newest() -> None:
    store = MemoryStore()
    keys = with_losses(store, 0.5, 0.2, 0.3, None, 0.2, 0.4)
    prune(store, keys[5], 2, keep_best=True)
    assert list_checkpoints(store) == [keys[1], *keys[4:]]
    best = best_whole(store)
    assert best is not None and best.key == keys[1]


def test_of_damaged_bests_the_next_best_is_taken() -> None:
    store = MemoryStore()
    keys = with_losses(store, 0.4, 0.1, 0.3, 0.2)
    flip(store, f"{keys[1]}/state.safetensors", 40)
    flip(store, f"{keys[3]}/manifest.json", 5)
    best = best_whole(store)
    assert best is not None and best.key == keys[2]


def test_without_a_loss_none_is_best() -> None:
    store = MemoryStore()
    keys = with_losses(store, None, None, None)
    assert best_whole(store) is None
    prune(store, keys[2], 2, keep_best=True)
    assert list_checkpoints(store) == keys[1:]


def test_epochs_without_gain_are_counted() -> None:
    position = Position(step=7, global_step=7, samples=70, epoch_loss=3.0)
    told = []
    for loss in (1.0, 0.8, 0.79, float("nan"), 0.5, None, 0.6):
        position = position.next_epoch(loss, 0.05)
        told.append((position.best_loss, position.stale_epochs))
    assert told == [(1.0, 0), (0.8, 0), (0.8, 1), (0.8, 2), (0.5, 0), (0.5, 0), (0.5, 1)]
    assert (position.epoch, position.step, position.global_step, position.samples) == (7, 0, 7, 70)
    assert position.epoch_loss == 0.0


def test_what_was_passed_over_or_never_completed_goes() -> None:
    store = MemoryStore()
    keys = written(store, 5)
    store.delete(f"{keys[0]}/manifest.json")
    prune(store, keys[2], 2)
    assert list_checkpoints(store) == keys[1:3]
    assert len(store.list("checkpoints/")) == 4
