"""Which split a sample belongs to: its source's own, or one that follows from its id alone.

Nothing but the id enters, so a sample stays in its split when others are added, removed or reordered.
"""

from __future__ import annotations

import hashlib

from pileus.data.ports import Split

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


def split_by_hash(sample_id: str) -> Split:
    """70 % train, 10 % validation, 20 % test, in the mean."""
    place = _unit(sample_id, b"split")
    if place < TEST_SHARE:
        return Split.TEST
    return Split.VALIDATION if place < TEST_SHARE + VALIDATION_SHARE else Split.TRAIN


def settled_split(given: Split | None, sample_id: str, validation: float = 0.0) -> Split:
    """The given split, else the one by hash.

    `validation` in [0, 1) is the share of the GIVEN training samples to move to validation, for sources such as
    MNIST that have no validation split.
    """
    if given is None:
        return split_by_hash(sample_id)
    if given == Split.TRAIN and _unit(sample_id, b"validation") < validation:
        return Split.VALIDATION
    return given


def _unit(sample_id: str, purpose: bytes) -> float:
    """A number in [0, 1), another for each purpose."""
    hashed = hashlib.blake2b(sample_id.encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(hashed, "little") / 2**64
