"""From candidates to a prediction as the API and the command line tell it.

Where a drawing or a picture can be cut into items in several ways, the same run of the model that judges the ways gives
the items' probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bundles import Bundle, Prediction
from pileus.bundles.predictor import DIGITS
from pileus.preprocessing.lattice import Box, Candidate, chosen, sureness

Asked = NDArray[np.uint8] | list[Candidate]
"""Images (N, H, W, C) that are an item each, or candidates among which the model is to choose."""


class Found(Prediction, frozen=True, kw_only=True):
    """One item of an answer, as it is told."""

    box: Box


class Findings(NamedTuple):
    answers: list[list[Found]]
    """By question; the items of each from left to right."""
    images_NHWC: NDArray[np.uint8]
    """Of all items, in that order."""


class _Told(msgspec.Struct):
    text: str
    confidence: float
    items: list[Found]


_TOGETHER, _SMALL, _AMONG_OTHERS = 0.5, 0.4, 0.02
"""Of a string: the mean that its items must reach; of its tallest item's height, under which a mark is as likely as a
digit; and what of its own threshold an item has to reach then."""
_encode = msgspec.json.Encoder().encode


def found(bundle: Bundle, questions: Sequence[Asked]) -> Findings:
    """There is at least one question, and none is empty."""
    asked_NHWC = _together(questions)
    shares_NL = bundle.shares(asked_NHWC)
    probabilities_NK = shares_NL[:, : len(bundle.classes)]
    _, height, width, _ = asked_NHWC.shape
    whole: Box = (0, 0, width, height)
    items: list[int] = []
    boxes: list[Box] = []
    ends = []
    strings: list[tuple[int, int]] = []
    start = 0
    for question in questions:
        if isinstance(question, list):
            chain = _chain(bundle, question, shares_NL[start : start + len(question)])
            items += [start + number for number in chain]
            boxes += [question[number].item.box for number in chain]
            strings.append((len(items) - len(chain), len(items)))
        else:
            items += range(start, start + len(question))
            boxes += [whole] * len(question)
        start += len(question)
        ends.append(len(items))
    items_NK = probabilities_NK[items]
    rejected_N = _thresholds(bundle, items_NK, boxes, strings) if strings else None
    each = [
        Found(label=label, confidence=confidence, verdict=verdict, probabilities=shares, box=box)
        for label, confidence, verdict, shares, box in zip(*bundle.judge(items_NK, rejected_N), boxes, strict=True)
    ]
    answers = [each[begin:end] for begin, end in pairwise([0, *ends])]
    return Findings(answers, asked_NHWC if len(items) == start else asked_NHWC[items])


def _thresholds(
    bundle: Bundle, items_NK: NDArray[np.float32], boxes: list[Box], strings: list[tuple[int, int]]
) -> NDArray[np.float64]:
    """(N,) under which each item is rejected: the bundle's own, or less for one of a string.

    A string is judged as a whole: where its items are digits in the mean, one that is not small is a digit too, unless
    that is most improbable.
    """
    own = bundle.manifest.calibration.rejected
    rejected_N = np.full(len(items_NK), own)
    belonging_N = bundle.belonging(items_NK).astype(np.float64)
    for begin, end in strings:
        if end - begin > 1 and float(belonging_N[begin:end].mean()) >= _TOGETHER:
            heights = [box[3] for box in boxes[begin:end]]
            is_small = np.array(heights) < _SMALL * max(heights)
            rejected_N[begin:end] = np.where(is_small, own, own * _AMONG_OTHERS)
    return rejected_N


def _together(questions: Sequence[Asked]) -> NDArray[np.uint8]:
    """(N, H, W, C). As np.concatenate, which takes longer over many small arrays."""
    arrays: list[NDArray[np.uint8]] = []
    for question in questions:
        if isinstance(question, list):
            arrays += [candidate.item.image_HWC for candidate in question]
        else:
            arrays.append(question)
    return np.frombuffer(b"".join([np.ascontiguousarray(each).data for each in arrays]), np.uint8).reshape(
        -1, *arrays[0].shape[-3:]
    )


def _chain(bundle: Bundle, candidates: list[Candidate], shares_NL: NDArray[np.float32]) -> Sequence[int]:
    """The numbers of those that are the items; `shares_NL`: of all of them."""
    if len(candidates) == 1:
        return (0,)
    number_of = {id(candidate.item): number for number, candidate in enumerate(candidates)}
    num_classes = len(bundle.classes)
    none_N = None if bundle.manifest.several is None else shares_NL[:, num_classes]
    items = chosen(candidates, lambda _: sureness(shares_NL[:, :num_classes], none_N)[:, None])
    return [number_of[id(item)] for item in items]


def as_json(answer: list[Found]) -> bytes:
    """A prediction as the API tells it, but for its request and model: the text is without what was rejected."""
    confidence = answer[0].confidence
    if len(answer) > 1:
        confidence = round(math.prod(each.confidence for each in answer), DIGITS)
    return _encode(_Told("".join([each.label or "" for each in answer]), confidence, answer))
