"""Checkpoints: all that training needs to go on, verified by hash, never half there.

A checkpoint is a folder of the run: `state.safetensors`, then `manifest.json`, whose presence makes it complete.
Loading verifies the hashes; where the newest is damaged the one before it is taken, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable

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

    def after(self, num_samples: int) -> Position:
        """One step of so many samples later."""
        return msgspec.structs.replace(
            self, step=self.step + 1, global_step=self.global_step + 1, samples=self.samples + num_samples
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


class Checkpoint(Spec, frozen=True, kw_only=True):
    key: str
    manifest: CheckpointManifest


def checkpoint_key(position: Position) -> str:
    return f"{_FOLDER}{position.epoch:05d}-{position.step:08d}"


def write_checkpoint(store: Store, tensors: Tensors, position: Position, fingerprint: str, ledger: str | None) -> str:
    """Returns its key. Where the same checkpoint is there and whole, nothing is written."""
    key = checkpoint_key(position)
    content = safetensors.numpy.save(dict(sorted(tensors.items())))
    manifest = CheckpointManifest(
        position=position,
        fingerprint=fingerprint,
        content_sha256=digest(content),
        content_bytes=len(content),
        ledger=ledger,
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


def prune(store: Store, newest: str, keep: int) -> None:
    """Delete all but `newest` and the `keep - 1` before it, the manifest first. Ledger pages stay.

    What lies after `newest` was passed over as damaged; what has no manifest was never completed.
    """
    complete = [key for key in list_checkpoints(store) if key <= newest]
    for key in sorted(set(_folders(store)) - set(complete[-keep:])):
        store.delete(f"{key}/{_MANIFEST}")
        store.delete(f"{key}/{_CONTENT}")


def _folders(store: Store) -> list[str]:
    """Of complete checkpoints and others."""
    return sorted({name.rpartition("/")[0] for name in store.list(_FOLDER)})


def _is_whole(store: Store, key: str, manifest: CheckpointManifest) -> bool:
    try:
        return load_checkpoint(store, key)[0].manifest == manifest
    except Damaged:
        return False
