"""Digits to train on, and the weights that training on them ends with."""

from __future__ import annotations

from tests.e2e.digits import digits, fingerprint
from tests.pictures import one_picture_for_all

__all__ = ["digits", "fingerprint", "one_picture_for_all"]
