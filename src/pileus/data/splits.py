"""Which split a sample belongs to: its source's own, or one that follows from its id alone.

Nothing but the id enters, so a sample stays in its split when others are added, removed or reordered.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Split
from pileus.data.random import stream, uniforms
from pileus.records.index import key_of

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1

_HOLD_BACK = 4
"""Keeps the stream of this draw apart from those of order, augmentation and dropout."""


def split_by_hash(sample_id: str) -> Split:
    """70 % train, 10 % validation, 20 % test, in the mean."""
    hashed = hashlib.blake2b(sample_id.encode(), digest_size=8, person=b"split").digest()
    place = int.from_bytes(hashed, "little") / 2**64
    if place < TEST_SHARE:
        return Split.TEST
    return Split.VALIDATION if place < TEST_SHARE + VALIDATION_SHARE else Split.TRAIN


def settled_split(given: Split | None, sample_id: str, validation: float = 0.0) -> Split:
    """The given split, else the one by hash. `validation` in [0, 1): share of GIVEN train to hold back.

    The samples held back are those that training with `data.validation` of the same share holds back.
    """
    if given is None:
        return split_by_hash(sample_id)
    if given == Split.TRAIN and validation > 0:
        return Split.VALIDATION if held_back(np.array([key_of(sample_id)], np.uint64), validation)[0] else Split.TRAIN
    return given


def held_back(keys_N: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """(N,) which of the training samples with these keys are validation, where `share` in [0, 1) of them shall be."""
    return uniforms(stream(_HOLD_BACK), keys_N, 1)[:, 0] < share
