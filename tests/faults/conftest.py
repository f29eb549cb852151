"""Digits to train on, and the weights that training on them ends with."""

from __future__ import annotations

from tests.e2e.digits import digits, fingerprint

__all__ = ["digits", "fingerprint"]
