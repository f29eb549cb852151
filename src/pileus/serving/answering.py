"""What a predictor does with a batch: questions to candidates, one run of the model over all of them, answers to JSON.

All of it happens here and not in the front, so that the front, which one process holds all connections by, stays thin.
A batch that fails is halved until the question that makes it fail is alone.
"""

from __future__ import annotations

import logging
import time

import numpy as np

from pileus.bundles import Bundle, Verdict
from pileus.preprocessing.lattice import Candidate, Item
from pileus.serving.answers import Refusal
from pileus.serving.frames import Batch, Kind, Question, Ready, Replies, Reply, Tally
from pileus.serving.predictions import Found, as_json, found
from pileus.serving.requests import Limits, candidates_of_strokes_body

_log = logging.getLogger(__name__)
_VERDICTS: tuple[Verdict, ...] = ("certain", "unsure", "rejected")
_TENTHS = 10
_SLOW_S = 0.05
"""A batch that takes longer is large enough: greater ones would not be answered faster, only later."""


class Answerer:
    """Not safe for threads."""

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self._bundle, self._limits = bundle, limits

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
        asked = [self._candidates(question) for question in batch.questions]
        readable = [each for each in asked if isinstance(each, list)]
        answers = iter(self._answers(readable) if readable else [])
        replies = []
        told: list[Found] = []
        for each in asked:
            answer = next(answers) if isinstance(each, list) else each
            if isinstance(answer, list):
                told += answer
                answer = Reply(200, as_json(answer)[1:])
            replies.append(answer)
        tally = _tally(told, sum(len(candidates) for candidates in readable))
        return Replies(batch.number, replies, time.perf_counter() - start, tally)

    def _candidates(self, question: Question) -> list[Candidate] | Reply:
        try:
            if question.kind is Kind.RAW:
                return self._pieces(question)
            spec = self._bundle.manifest.preprocessing
            return candidates_of_strokes_body(question.body, spec, self._limits, whole=question.whole)
        except Refusal as refusal:
            return Reply(refusal.status, refusal.detail.encode())
        except Exception as error:
            return _failed(error)

    def _pieces(self, question: Question) -> list[Candidate]:
        images_NHWC = np.frombuffer(question.body, np.uint8).reshape(-1, *self._bundle.input_shape)
        if question.pieces is None:
            _, height, width, _ = images_NHWC.shape
            return [Candidate(0, 1, Item(images_NHWC[0], (0, 0, width, height)))]
        return [
            Candidate(piece.start, piece.stop, Item(image_HWC, piece.box), piece.prior)
            for piece, image_HWC in zip(question.pieces, images_NHWC, strict=True)
        ]

    def _answers(self, asked: list[list[Candidate]]) -> list[list[Found] | Reply]:
        """By question."""
        try:
            return [*found(self._bundle, asked)]
        except Exception as error:  # whatever it is, it belongs to those who asked and not to this process
            if len(asked) == 1:
                return [_failed(error)]
            middle = len(asked) // 2
            return self._answers(asked[:middle]) + self._answers(asked[middle:])


def _failed(error: Exception) -> Reply:
    return Reply(500, f"{type(error).__name__}: {error}".encode()[:1000])


def _tally(told: list[Found], num_images: int) -> Tally:
    """`num_images`: that the model was run on."""
    verdicts = [each.prediction.verdict for each in told]
    confidence, ink = [0] * _TENTHS, [0] * _TENTHS
    for prediction, _ in told:
        confidence[min(int(prediction.confidence * _TENTHS), _TENTHS - 1)] += 1
    if told:
        means = np.stack([each.item.image_HWC for each in told]).reshape(len(told), -1).mean(axis=1)
        for mean in means.tolist():
            ink[min(int(mean * _TENTHS / 255), _TENTHS - 1)] += 1
    num_certain, num_unsure, num_rejected = (verdicts.count(verdict) for verdict in _VERDICTS)
    return Tally(num_images, (num_certain, num_unsure, num_rejected), confidence, ink)
