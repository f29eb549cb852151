"""The mistakes worth looking at: those that the model made with the greatest confidence.

Apart from the report, so that measuring needs none of its libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pileus.data.pixels import Images

MOST_ERRORS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstError:
    """One sample that was answered wrongly."""

    image_HWC: NDArray[np.uint8]
    """As the model saw it."""
    id: str
    truth: str
    predicted: str
    confidence: float
    """Probability of the wrong answer, in [0, 1]."""


def worst_rows(
    probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.integer], most: int = MOST_ERRORS
) -> NDArray[np.int64]:
    """Rows of the wrong answers, the most confident first; equal ones in their order."""
    wrong = np.flatnonzero(probabilities_NK.argmax(axis=1) != labels_N)
    return wrong[np.argsort(-probabilities_NK[wrong].max(axis=1), kind="stable")][:most]


def worst_errors(
    images: Images,
    probabilities_NK: NDArray[np.float32],
    labels_N: NDArray[np.integer],
    ids: Sequence[str],
    classes: Sequence[str],
    *,
    most: int = MOST_ERRORS,
) -> list[WorstError]:
    """The rows of `worst_rows` with what there is to see of them. Rows of all arrays belong together."""
    rows = worst_rows(probabilities_NK, labels_N, most)
    return [
        WorstError(
            image_HWC=image_HWC,
            id=ids[row],
            truth=classes[int(labels_N[row])],
            predicted=classes[int(probabilities_NK[row].argmax())],
            confidence=float(probabilities_NK[row].max()),
        )
        for row, image_HWC in zip(rows.tolist(), images[rows], strict=True)
    ]
