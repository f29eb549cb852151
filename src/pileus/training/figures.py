"""The figures of a run's epochs: `metrics.jsonl`, a line an epoch.

Rank 0 notes an epoch before the checkpoint that holds it, so that whoever goes on from a checkpoint, after any death,
has the figures of every epoch before it.
"""

from __future__ import annotations

import msgspec

from pileus.errors import Damaged, NotFound
from pileus.spec.job import EpochDone, Validated
from pileus.store import Store, plain_place

_KEY = "metrics.jsonl"
_VALIDATION = "validation/"


def read_figures(store: Store) -> list[EpochDone]:
    """In the order of epochs, with what an evaluator has found. Damaged where a line cannot be read."""
    figures = _noted(store)
    if all(done.validation_loss is not None for done in figures):
        return figures
    told = validated_epochs(store)
    return [_completed(store, done) if done.epoch in told else done for done in figures]


def _noted(store: Store) -> list[EpochDone]:
    """As rank 0 noted them."""
    try:
        lines = store.get(_KEY).content.splitlines()
        return [msgspec.json.decode(line, type=EpochDone) for line in lines if line]
    except NotFound:
        return []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(
            f"{plain_place(store.uri)}/{_KEY} is damaged ({error}); delete it: the past epochs' figures go, "
            "the weights stay."
        ) from error


def note_figures(store: Store, done: EpochDone) -> None:
    """Put an epoch behind those before it; of later ones, which are trained again, nothing stays."""
    lines = [each for each in _noted(store) if each.epoch < done.epoch] + [done]
    store.put(_KEY, b"".join(msgspec.json.encode(each) + b"\n" for each in lines))


def note_validation(store: Store, told: Validated) -> None:
    """By an evaluator; of an epoch that is trained again, the weights are the same."""
    store.put(_validation_key(told.epoch), msgspec.json.encode(told))


def validated_epochs(store: Store) -> set[int]:
    """Of which an evaluator has told."""
    return {int(key.rpartition("/")[2].removesuffix(".json")) for key in store.list(_VALIDATION)}


def _read_validation(store: Store, epoch: int) -> Validated | None:
    try:
        return msgspec.json.decode(store.get(_validation_key(epoch)).content, type=Validated)
    except (NotFound, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _completed(store: Store, done: EpochDone) -> EpochDone:
    told = _read_validation(store, done.epoch)
    if told is None or told.step != done.step:
        return done
    return msgspec.structs.replace(done, validation_loss=told.loss, validation_accuracy=told.accuracy)


def _validation_key(epoch: int) -> str:
    return f"{_VALIDATION}{epoch:05d}.json"
