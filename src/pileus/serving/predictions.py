"""From candidates to a prediction as the API and the command line tell it.

Where a drawing or a picture can be cut into items in several ways, the same run of the model that judges the ways gives
the items' probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bundles import Bundle, Prediction
from pileus.preprocessing.lattice import Candidate, Item, chosen


class Found(NamedTuple):
    """One item of an answer."""

    prediction: Prediction
    item: Item


def found(bundle: Bundle, questions: Sequence[list[Candidate]]) -> list[list[Found]]:
    """By question, of which there is at least one: its items from left to right."""
    images_NHWC = np.stack([candidate.item.image_HWC for candidates in questions for candidate in candidates])
    probabilities_NK = bundle.probabilities(images_NHWC)
    answers = []
    end = 0
    for candidates in questions:
        start, end = end, end + len(candidates)
        answers.append(_chosen(bundle, candidates, probabilities_NK[start:end]))
    return answers


def _chosen(bundle: Bundle, candidates: list[Candidate], probabilities_NK: NDArray[np.float32]) -> list[Found]:
    """`probabilities_NK`: of the candidates."""
    if len(candidates) == 1:
        return [Found(bundle.judge(probabilities_NK[0]), candidates[0].item)]
    number_of = {id(candidate.item): number for number, candidate in enumerate(candidates)}
    items = chosen(candidates, lambda _: probabilities_NK)
    return [Found(bundle.judge(probabilities_NK[number_of[id(item)]]), item) for item in items]


def as_json(answer: list[Found]) -> bytes:
    """A prediction as the API tells it, but for its request and model: the text is without what was rejected."""
    document = {
        "text": "".join(each.prediction.label or "" for each in answer),
        "confidence": _rounded(math.prod(each.prediction.confidence for each in answer)),
        "items": [
            {
                "label": prediction.label,
                "confidence": _rounded(prediction.confidence),
                "verdict": prediction.verdict,
                "probabilities": {name: round(value, 6) for name, value in prediction.probabilities.items()},
                "box": item.box,
            }
            for prediction, item in answer
        ],
    }
    return msgspec.json.encode(document)


def _rounded(value: float) -> float:
    """Six digits: finer is noise of single precision."""
    return round(value, 6)
