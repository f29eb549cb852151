"""Checkpoints: all that training needs to go on, verified by hash, never half there.

A checkpoint is a folder of the run: `state.safetensors`, then `manifest.json`, whose presence makes it complete.
Loading verifies the hashes; where the newest is damaged the one before it is taken, and that is said.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from pileus.errors import Damaged, NotFound
from pileus.spec.values import Spec, canonical_json, digest
from pileus.store import Store

_FOLDER = "checkpoints/"
_CONTENT = "state.safetensors"
_MANIFEST = "manifest.json"

Tensors = dict[str, NDArray[np.float32]]


class Position(Spec, frozen=True, kw_only=True):
    """Where training stands: `step` steps of epoch `epoch` are done."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    samples: int = 0
    """Over all epochs."""
    epoch_loss: float = 0.0
    epoch_correct: float = 0.0
    epoch_samples: float = 0.0
    """Sums over the steps of the present epoch."""
    best_loss: float | None = None
    """Of validation, after any epoch that is done; None before there is one."""
    stale_epochs: int = 0
    """Epochs done since the best."""

    def after(self, num_samples: int) -> Position:
        """One step of so many samples later."""
        return msgspec.structs.replace(
            self, step=self.step + 1, global_step=self.global_step + 1, samples=self.samples + num_samples
        )

    def next_epoch(self, validation_loss: float | None, min_delta: float) -> Position:
        """The beginning of the next epoch. A loss is the best where it is below the best before by `min_delta`."""
        best, stale = self.best_loss, self.stale_epochs
        if validation_loss is not None:
            is_better = math.isfinite(validation_loss) and (best is None or validation_loss < best - min_delta)
            best, stale = (validation_loss, 0) if is_better else (best, stale + 1)
        return Position(
            epoch=self.epoch + 1,
            global_step=self.global_step,
            samples=self.samples,
            best_loss=best,
            stale_epochs=stale,
        )

    def with_totals(self, loss: float, correct: float, samples: float) -> Position:
        return msgspec.structs.replace(
            self,
            epoch_loss=self.epoch_loss + loss,
            epoch_correct=self.epoch_correct + correct,
            epoch_samples=self.epoch_samples + samples,
        )


class CheckpointManifest(Spec, frozen=True, kw_only=True):
    position: Position
    fingerprint: str
    """Of the weights."""
    content_sha256: str
    content_bytes: int
    ledger: str | None
    """Key of the newest page that counts."""
    validation_loss: float | None = None
    """None within an epoch, and where nothing is held back for validation."""


class Checkpoint(Spec, frozen=True, kw_only=True):
    key: str
    manifest: CheckpointManifest


def checkpoint_key(position: Position) -> str:
    return f"{_FOLDER}{position.epoch:05d}-{position.step:08d}"


def write_checkpoint(
    store: Store,
    tensors: Tensors,
    position: Position,
    fingerprint: str,
    ledger: str | None,
    validation_loss: float | None = None,
) -> str:
    """Returns its key. Where the same checkpoint is there and whole, nothing is written."""
    key = checkpoint_key(position)
    content = safetensors.numpy.save(dict(sorted(tensors.items())))
    manifest = CheckpointManifest(
        position=position,
        fingerprint=fingerprint,
        content_sha256=digest(content),
        content_bytes=len(content),
        ledger=ledger,
        validation_loss=validation_loss,
    )
    if not _is_whole(store, key, manifest):
        store.delete(f"{key}/{_MANIFEST}")
        store.put(f"{key}/{_CONTENT}", content)
        store.put(f"{key}/{_MANIFEST}", canonical_json(manifest))
    return key


def list_checkpoints(store: Store) -> list[str]:
    """Keys of the complete ones, oldest first."""
    return [key.rpartition("/")[0] for key in store.list(_FOLDER) if key.endswith(f"/{_MANIFEST}")]


def describe_checkpoint(store: Store, key: str) -> Checkpoint:
    """From its manifest alone."""
    try:
        content = store.get(f"{key}/{_MANIFEST}").content
        return Checkpoint(key=key, manifest=msgspec.json.decode(content, type=CheckpointManifest))
    except NotFound as error:
        raise Damaged(f"{store.uri}/{key} has no manifest; it was not completed.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{store.uri}/{key}/{_MANIFEST} is damaged: {error}.") from error


def load_checkpoint(store: Store, key: str) -> tuple[Checkpoint, Tensors]:
    """Damaged where a hash does not hold or a part is missing."""
    checkpoint = describe_checkpoint(store, key)
    try:
        content = store.get(f"{key}/{_CONTENT}").content
    except NotFound as error:
        raise Damaged(f"{store.uri}/{key}/{_CONTENT} is missing.") from error
    if digest(content) != checkpoint.manifest.content_sha256:
        raise Damaged(f"{store.uri}/{key}/{_CONTENT} was changed: its hash is not the manifest's.")
    try:
        return checkpoint, safetensors.numpy.load(content)
    except SafetensorError as error:
        raise Damaged(f"{store.uri}/{key}/{_CONTENT} cannot be read: {error}.") from error


def newest_whole(store: Store, say: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
    """The newest checkpoint that verifies; `say` is told of each damaged one that was passed over."""
    for key in reversed(_folders(store)):
        try:
            return load_checkpoint(store, key)[0]
        except Damaged as error:
            say(f"checkpoint passed over: {error}")
    return None


def best_whole(store: Store) -> Checkpoint | None:
    """That of the lowest validation loss, the earliest of equal ones, among those that verify; None: none has any."""
    for key in _by_loss(store, list_checkpoints(store)):
        with contextlib.suppress(Damaged):
            return load_checkpoint(store, key)[0]
    return None


def prune(store: Store, newest: str, keep: int, *, keep_best: bool = False) -> None:
    """Delete all but `newest`, the `keep - 1` before it, and the best if asked; the manifest first. Pages stay.

    What lies after `newest` was passed over as damaged; what has no manifest was never completed.
    """
    complete = [key for key in list_checkpoints(store) if key <= newest]
    kept = complete[-keep:] + (_by_loss(store, complete)[:1] if keep_best else [])
    for key in sorted(set(_folders(store)) - set(kept)):
        store.delete(f"{key}/{_MANIFEST}")
        store.delete(f"{key}/{_CONTENT}")


def _by_loss(store: Store, keys: Iterable[str]) -> list[str]:
    """Those that have a validation loss, the lowest first."""
    losses: dict[str, float] = {}
    for key in keys:
        with contextlib.suppress(Damaged):
            loss = describe_checkpoint(store, key).manifest.validation_loss
            if loss is not None:
                losses[key] = loss
    return sorted(losses, key=lambda key: (losses[key], key))


def _folders(store: Store) -> list[str]:
    """Of complete checkpoints and others."""
    return sorted({name.rpartition("/")[0] for name in store.list(_FOLDER)})


def _is_whole(store: Store, key: str, manifest: CheckpointManifest) -> bool:
    try:
        return load_checkpoint(store, key)[0].manifest == manifest
    except Damaged:
        return False
