"""The settings of the neighbour classifier."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.errors import SpecError
from pileus.spec.values import Spec

KNN = "knn"
"""The model's name."""
MOST_K = 50

K = Annotated[int, Meta(ge=1, le=MOST_K)]


class Neighbours(Spec, frozen=True, kw_only=True):
    """Of model knn alone."""

    k: K | None = None
    """How many neighbours vote; None: the number from 1 to `most` that is right most often on the validation part, the
    least of equally good ones."""
    most: K = 10
    """Accuracy is told of 1 to so many."""

    def __post_init__(self) -> None:
        if self.k is not None and self.k > self.most:
            raise SpecError(
                f"neighbours.k must be at most neighbours.most (got k={self.k}, most={self.most}); "
                f"set neighbours.most={self.k}."
            )
