"""What a predictor does with a batch: questions to images, one run of the model, predictions to JSON.

All of it happens here and not in the front, so that the front, which one process holds all connections by, stays thin.
A batch that fails is halved until the question that makes it fail is alone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.bundles import Bundle, Prediction, Verdict
from pileus.serving.answers import Box, Refusal
from pileus.serving.frames import Batch, Kind, Question, Ready, Replies, Reply, Tally
from pileus.serving.requests import Limits, items_of_strokes_body

_log = logging.getLogger(__name__)
_VERDICTS: tuple[Verdict, ...] = ("certain", "unsure", "rejected")
_TENTHS = 10
_SLOW_S = 0.05
"""A batch that takes longer is large enough: greater ones would not be answered faster, only later."""


class _Asked(NamedTuple):
    """One question as the model sees it."""

    images_NHWC: NDArray[np.uint8]
    boxes: Sequence[Box]


class Answerer:
    """Not safe for threads."""

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self._bundle, self._limits = bundle, limits
        height, width, _ = bundle.input_shape
        self._whole: Box = (0, 0, width, height)

    def warm_up(self, max_batch: int) -> Ready:
        """Runs every size that batches will have up to the greatest useful one."""
        count = 1
        while True:
            blank_NHWC = np.zeros((count, *self._bundle.input_shape), np.uint8)
            self._bundle.predict(blank_NHWC)
            start = time.perf_counter()
            self._bundle.predict(blank_NHWC)
            batch_s = time.perf_counter() - start
            if count == max_batch or batch_s > _SLOW_S:
                return Ready(count, batch_s / count, batch_s)
            count = min(2 * count, max_batch)

    def answer(self, batch: Batch) -> Replies:
        start = time.perf_counter()
        asked = [self._asked(question) for question in batch.questions]
        readable = [each for each in asked if isinstance(each, _Asked)]
        predicted = iter(self._predicted(readable) if readable else [])
        replies = []
        told: list[Prediction] = []
        for each in asked:
            found = next(predicted) if isinstance(each, _Asked) else each
            if isinstance(found, Reply):
                replies.append(found)
            else:
                assert isinstance(each, _Asked)
                told += found
                replies.append(Reply(200, _told(found, each.boxes)))
        tally = _tally(told, [each.images_NHWC for each in readable])
        return Replies(batch.number, replies, time.perf_counter() - start, tally)

    def _asked(self, question: Question) -> _Asked | Reply:
        try:
            if question.kind is Kind.RAW:
                images_NHWC = np.frombuffer(question.body, np.uint8).reshape(-1, *self._bundle.input_shape)
                return _Asked(images_NHWC, question.boxes or (self._whole,))
            spec = self._bundle.manifest.preprocessing
            items = items_of_strokes_body(question.body, spec, self._limits, whole=question.whole)
            return _Asked(np.stack([item.image for item in items]), [item.box for item in items])
        except Refusal as refusal:
            return Reply(refusal.status, refusal.detail.encode())
        except Exception as error:
            return _failed(error)

    def _predicted(self, asked: list[_Asked]) -> list[list[Prediction] | Reply]:
        """By question."""
        try:
            predictions = self._bundle.predict(np.concatenate([each.images_NHWC for each in asked]))
        except Exception as error:  # whatever it is, it belongs to those who asked and not to this process
            if len(asked) == 1:
                return [_failed(error)]
            middle = len(asked) // 2
            return self._predicted(asked[:middle]) + self._predicted(asked[middle:])
        found: list[list[Prediction] | Reply] = []
        end = 0
        for each in asked:
            start, end = end, end + len(each.images_NHWC)
            found.append(predictions[start:end])
        return found


def _failed(error: Exception) -> Reply:
    return Reply(500, f"{type(error).__name__}: {error}".encode()[:1000])


def _told(predictions: list[Prediction], boxes: Sequence[Box]) -> bytes:
    """The text of a prediction from its `text` on: items from left to right; the text is without what was rejected."""
    document = {
        "text": "".join(prediction.label or "" for prediction in predictions),
        "confidence": _rounded(math.prod(prediction.confidence for prediction in predictions)),
        "items": [
            {
                "label": prediction.label,
                "confidence": _rounded(prediction.confidence),
                "verdict": prediction.verdict,
                "probabilities": {name: round(value, 6) for name, value in prediction.probabilities.items()},
                "box": box,
            }
            for prediction, box in zip(predictions, boxes, strict=True)
        ],
    }
    return msgspec.json.encode(document)[1:]


def _rounded(value: float) -> float:
    """Six digits: finer is noise of single precision."""
    return round(value, 6)


def _tally(predictions: list[Prediction], images: list[NDArray[np.uint8]]) -> Tally:
    verdicts = [prediction.verdict for prediction in predictions]
    confidence = [0] * _TENTHS
    for prediction in predictions:
        confidence[min(int(prediction.confidence * _TENTHS), _TENTHS - 1)] += 1
    ink = [0] * _TENTHS
    if images:
        images_NHWC = np.concatenate(images)
        means = images_NHWC.reshape(len(images_NHWC), -1).mean(axis=1)
        for mean in means.tolist():
            ink[min(int(mean * _TENTHS / 255), _TENTHS - 1)] += 1
    num_certain, num_unsure, num_rejected = (verdicts.count(verdict) for verdict in _VERDICTS)
    return Tally(len(predictions), (num_certain, num_unsure, num_rejected), confidence, ink)
