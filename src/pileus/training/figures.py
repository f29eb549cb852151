"""The figures of a run's epochs: `metrics.jsonl`, a line an epoch.

Rank 0 notes an epoch before the checkpoint that holds it, so that whoever goes on from a checkpoint, after any death,
has the figures of every epoch before it.
"""

from __future__ import annotations

import msgspec

from pileus.errors import Damaged, NotFound
from pileus.spec.job import EpochDone
from pileus.store import Store, plain_place

_KEY = "metrics.jsonl"


def read_figures(store: Store) -> list[EpochDone]:
    """In the order of epochs. Damaged where a line cannot be read."""
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
    lines = [each for each in read_figures(store) if each.epoch < done.epoch] + [done]
    store.put(_KEY, b"".join(msgspec.json.encode(each) + b"\n" for each in lines))
