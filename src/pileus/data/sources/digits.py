"""`embedded:digits`: scikit-learn's copy of UCI optical digits, 1,797 of 8 x 8. Split by hash of the id."""

from __future__ import annotations

import numpy as np

from pileus.data.sources.arrays import ArraySource, Part
from pileus.errors import MissingExtra
from pileus.spec.preprocessing import Drawing

KIND = "embedded:digits"
_WHITE = 16
"""The original counts ink in blocks of 4 x 4 pixels."""


def open_digits() -> ArraySource:
    """MissingExtra where scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an optional extra, loaded where it is used
    except ModuleNotFoundError as error:
        raise MissingExtra(KIND, "scikit-learn", "train") from error
    bunch = load_digits()
    images_NHW = np.rint(np.asarray(bunch.images) * 255 / _WHITE).astype(np.uint8)
    labels_N = np.asarray(bunch.target, np.int64)
    return ArraySource(
        kind=KIND,
        classes=tuple("0123456789"),
        parts=(Part(name="digits", split=None, images=images_NHW[..., None], labels=labels_N),),
        preprocessing=Drawing(height=8, width=8, box=8.0, stroke_width=1.0),
    )
