"""What a predictor does with a batch: questions to candidates, one run of the model over all of them, answers to JSON.

All of it happens here and not in the front, so that the front, which one process holds all connections by, stays thin.
A batch that fails is halved until the question that makes it fail is alone.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

import numpy as np

from pileus.bundles import Bundle, Verdict
from pileus.bundles.reference import ink_of
from pileus.preprocessing.lattice import Candidate, Item
from pileus.serving.answers import Refusal
from pileus.serving.drift import number_of
from pileus.serving.frames import Batch, Kind, Question, Ready, Replies, Reply, Tally
from pileus.serving.predictions import Asked, Found, as_json, found
from pileus.serving.requests import Limits, candidates_of_strokes_body
from pileus.serving.tensors import bytes_of_numbers, reply_of

_log = logging.getLogger(__name__)
_VERDICTS: tuple[Verdict, ...] = ("certain", "unsure", "rejected")
_TENTHS = 10
_SLOW_S = 0.05
"""A batch that takes longer is large enough: greater ones would not be answered faster, only later."""


class Answerer:
    """Not safe for threads."""

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self._bundle, self._limits = bundle, limits
        self._shape_NHWC = (-1, *bundle.input_shape)

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
        readable = [each for each in asked if not isinstance(each, Reply)]
        told = self._answers(readable) if readable else _Told([], [])
        answers = iter(told.answers)
        replies = []
        for question, each in zip(batch.questions, asked, strict=True):
            answer = each if isinstance(each, Reply) else next(answers)
            replies.append(answer if isinstance(answer, Reply) else self._reply(question, answer))
        num_images = sum(map(len, readable))
        return Replies(batch.number, replies, time.perf_counter() - start, self._tally(told, num_images))

    def _asked(self, question: Question) -> Asked | Reply:
        try:
            if question.kind is Kind.RAW:
                return self._of_images(question, question.body)
            if question.kind is Kind.NUMBERS:
                assert question.tensors is not None
                count, shape = question.tensors.images, self._bundle.input_shape
                return self._of_images(question, bytes_of_numbers(question.body, count, shape))
            spec = self._bundle.manifest.preprocessing
            return candidates_of_strokes_body(question.body, spec, self._limits, whole=question.whole)
        except Refusal as refusal:
            return Reply(refusal.status, refusal.detail.encode())
        except Exception as error:
            return _failed(error)

    def _of_images(self, question: Question, body: bytes) -> Asked:
        images_NHWC = np.frombuffer(body, np.uint8).reshape(self._shape_NHWC)
        if question.pieces is None:
            return images_NHWC
        return [
            Candidate(piece.start, piece.stop, Item(image_HWC, piece.box), piece.prior)
            for piece, image_HWC in zip(question.pieces, images_NHWC, strict=True)
        ]

    def _reply(self, question: Question, answer: list[Found]) -> Reply:
        if question.tensors is None:
            return Reply(200, as_json(answer)[1:])
        return reply_of(answer, question.tensors, self._bundle.manifest)

    def _answers(self, asked: list[Asked]) -> _Told:
        try:
            answers, images_NHWC = found(self._bundle, asked)
        except Exception as error:  # whatever it is, it belongs to those who asked and not to this process
            if len(asked) == 1:
                return _Told([_failed(error)], [])
            middle = len(asked) // 2
            first, second = self._answers(asked[:middle]), self._answers(asked[middle:])
            return _Told(first.answers + second.answers, first.inks + second.inks)
        return _Told([*answers], ink_of(images_NHWC).tolist())

    def _tally(self, told: _Told, num_images: int) -> Tally:
        """`num_images`: that the model was run on."""
        items = [each for answer in told.answers if isinstance(answer, list) for each in answer]
        verdicts = [prediction.verdict for prediction in items]
        num_certain, num_unsure, num_rejected = (verdicts.count(verdict) for verdict in _VERDICTS)
        confidences = [prediction.confidence for prediction in items]
        manifest = self._bundle.manifest
        reference = manifest.reference
        return Tally(
            num_images,
            (num_certain, num_unsure, num_rejected),
            _by_tenths(confidences),
            _by_tenths(told.inks),
            number_of(manifest),
            () if reference is None else (reference.ink.counted(told.inks), reference.confidence.counted(confidences)),
        )


class _Told(NamedTuple):
    answers: list[list[Found] | Reply]
    """By question."""
    inks: list[float]
    """Of all items."""


def _failed(error: Exception) -> Reply:
    return Reply(500, f"{type(error).__name__}: {error}".encode()[:1000])


def _by_tenths(values: list[float]) -> list[int]:
    counts = [0] * _TENTHS
    for value in values:
        counts[min(int(value * _TENTHS), _TENTHS - 1)] += 1
    return counts
