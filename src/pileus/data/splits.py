"""Which split a sample belongs to: its source's own, or one that follows from its id alone.

Nothing but the id enters, so a sample stays in its split when others are added, removed or reordered.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pileus.data.ports import Split
from pileus.data.random import mix
from pileus.records.index import key_of

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1

_HOLD_BACK = np.uint64(0x686F6C64)
"""Keeps this draw apart from others that are made of the same keys."""


def split_by_hash(sample_id: str) -> Split:
    """70 % train, 10 % validation, 20 % test, in the mean."""
    hashed = hashlib.blake2b(sample_id.encode(), digest_size=8, person=b"split").digest()
    place = int.from_bytes(hashed, "little") / 2**64
    if place < TEST_SHARE:
        return Split.TEST
    return Split.VALIDATION if place < TEST_SHARE + VALIDATION_SHARE else Split.TRAIN


def settled_split(given: Split | None, sample_id: str, validation: float = 0.0) -> Split:
    """The given split, else the one by hash. `validation` in [0, 1): share of GIVEN train to hold back."""
    if given is None:
        return split_by_hash(sample_id)
    if (
        given == Split.TRAIN
        and validation > 0
        and _drawn(np.array([key_of(sample_id)], np.uint64), validation)[0]
    ):
        return Split.VALIDATION
    return given


def hold_back(
    splits_N: NDArray[np.uint8], keys_N: NDArray[np.uint64], validation: float
) -> NDArray[np.uint8]:
    """(N,) splits with a share of train moved to validation, where there is no validation part yet.

    The same samples as `settled_split` chooses, so a set may be written with or without.
    """
    if validation <= 0 or (splits_N == Split.VALIDATION).any():
        return splits_N
    moved_N = (splits_N == Split.TRAIN) & _drawn(keys_N, validation)
    return np.where(moved_N, np.uint8(Split.VALIDATION), splits_N)


def _drawn(keys_N: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    return (mix(keys_N ^ _HOLD_BACK) >> np.uint64(11)).astype(np.float64) < share * float(1 << 53)
