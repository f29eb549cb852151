"""What a predictor answers, beside what the bundle answers offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.bundles import Bundle, Prediction, load
from pileus.bundles.load import read_verified
from pileus.bundles.manifest import MODEL_FILE
from pileus.serving.answering import Answerer
from pileus.serving.frames import Batch, Kind, Piece, Question, Reply
from pileus.serving.requests import Limits
from pileus.store import open_store

STROKES = b'{"strokes": [[[10, 10], [90, 12], [40, 95]]]}'


class Touchy(Bundle):
    """Fails on a batch that has an image whose first pixel is 13; counts batches."""

    num_batches = 0

    def shares(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.num_batches += 1
        if (images_NHWC[:, 0, 0, 0] == 13).any():
            raise ArithmeticError("thirteen")
        return super().shares(images_NHWC)


@pytest.fixture
def touchy(bundle_folder: Path) -> Touchy:
    manifest, files = read_verified(open_store(bundle_folder))
    return Touchy(manifest, files[MODEL_FILE])


def images(count: int) -> NDArray[np.uint8]:
    images_NHWC = np.random.default_rng(3).integers(0, 256, (count, 28, 28, 1), np.uint8)
    images_NHWC[:, 0, 0, 0] = 0
    return images_NHWC


def pieces(count: int) -> list[Piece]:
    """Side by side."""
    return [Piece(number, number + 1, 0.0, (number, 0, 1, 1)) for number in range(count)]


def document(reply: Reply) -> Any:
    return json.loads(b"{" + reply.body)


def assert_tells(reply: Reply, expected: list[Prediction]) -> None:
    assert reply.status == 200
    items = document(reply)["items"]
    assert [item["label"] for item in items] == [prediction.label for prediction in expected]
    for item, prediction in zip(items, expected, strict=True):
        assert item["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)


def test_a_batch_of_all_kinds_is_answered_as_the_bundle_answers(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    images_NHWC = images(4)
    questions = [
        Question(Kind.RAW, images_NHWC[0].tobytes()),
        Question(Kind.STROKES, STROKES),
        Question(Kind.RAW, images_NHWC[1:].tobytes(), pieces=pieces(3)),
        Question(Kind.STROKES, b"{"),
        Question(Kind.STROKES, b'{"strokes": []}'),
    ]
    replies = Answerer(bundle, Limits()).answer(Batch(9, questions))
    assert replies.number == 9 and [reply.status for reply in replies.replies] == [200, 200, 200, 400, 422]
    assert_tells(replies.replies[0], bundle.predict(images_NHWC[:1]))
    assert_tells(replies.replies[2], bundle.predict(images_NHWC[1:]))
    assert document(replies.replies[0])["items"][0]["box"] == [0, 0, 28, 28]
    assert [item["box"][0] for item in document(replies.replies[2])["items"]] == [0, 1, 2]
    tally = replies.tally
    assert tally.bins == ()
    assert tally.images == sum(tally.verdicts) == sum(tally.confidence) == sum(tally.ink) == 5


def test_several_items_are_one_text_and_one_confidence(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    question = Question(Kind.RAW, images(3).tobytes(), pieces=pieces(3))
    told = document(Answerer(bundle, Limits()).answer(Batch(1, [question])).replies[0])
    assert told["text"] == "".join(item["label"] or "" for item in told["items"])
    expected = np.prod([prediction.confidence for prediction in bundle.predict(images(3))])
    assert told["confidence"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("marked", range(8))
def test_one_bad_input_fails_alone(touchy: Touchy, marked: int) -> None:
    images_NHWC = images(8)
    expected = touchy.predict(images_NHWC)
    images_NHWC[marked, 0, 0, 0] = 13
    touchy.num_batches = 0
    batch = Batch(1, [Question(Kind.RAW, image_HWC.tobytes()) for image_HWC in images_NHWC])
    replies = Answerer(touchy, Limits()).answer(batch).replies
    assert touchy.num_batches == 7  # 8, then twice 4, 2 and 1
    for number, reply in enumerate(replies):
        if number == marked:
            assert reply == Reply(500, b"ArithmeticError: thirteen")
        else:
            assert_tells(reply, [expected[number]])


def test_nothing_readable_is_a_batch_too(bundle_folder: Path) -> None:
    replies = Answerer(load(bundle_folder), Limits()).answer(Batch(1, [Question(Kind.STROKES, b"[]")]))
    assert [reply.status for reply in replies.replies] == [422] and replies.tally.images == 0


def test_warm_up_tells_what_a_question_costs(bundle_folder: Path) -> None:
    ready = Answerer(load(bundle_folder), Limits()).warm_up(12)
    assert ready.max_batch == 12 and 0 < ready.question_s < ready.batch_s


def strokes_of(*digits: list[list[tuple[float, float]]]) -> bytes:
    """Side by side, each 100 wide."""
    shifted = [[(x + 130 * number, y) for x, y in line] for number, digit in enumerate(digits) for line in digit]
    return json.dumps({"strokes": shifted}).encode()


SEVEN = [[(10.0, 10.0), (90.0, 12.0), (40.0, 95.0)]]
BARRED = [*SEVEN, [(30.0, 50.0), (80.0, 48.0)]]
ONE = [[(50.0, 5.0), (48.0, 95.0)]]


def test_digits_side_by_side_are_items_of_one_answer(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    body = strokes_of(BARRED, ONE, SEVEN)
    several, whole = (
        Answerer(bundle, Limits())
        .answer(Batch(1, [Question(Kind.STROKES, body), Question(Kind.STROKES, body, whole=True)]))
        .replies
    )
    alone = [
        Answerer(bundle, Limits()).answer(Batch(1, [Question(Kind.STROKES, strokes_of(digit))])).replies[0]
        for digit in (BARRED, ONE, SEVEN)
    ]
    items = document(several)["items"]
    assert [item["box"] for item in items] == [[10, 10, 80, 85], [178, 5, 2, 90], [270, 10, 80, 85]]
    for item, reply in zip(items, alone, strict=True):
        assert item["probabilities"] == pytest.approx(document(reply)["items"][0]["probabilities"], abs=1e-5)
    (item,) = document(whole)["items"]
    assert item["box"] == [10, 5, 340, 90]


def test_the_model_chooses_among_the_ways_to_cut_in_one_run(touchy: Touchy) -> None:
    """Both halves, or the whole: the prior settles it whatever the small net thinks of noise."""
    images_NHWC = images(3)
    touchy.num_batches = 0
    for prior, boxes in ((-20.0, [[0, 0, 1, 1], [1, 0, 1, 1]]), (20.0, [[0, 0, 2, 1]])):
        cut = [Piece(0, 1, 0.0, (0, 0, 1, 1)), Piece(0, 2, prior, (0, 0, 2, 1)), Piece(1, 2, 0.0, (1, 0, 1, 1))]
        question = Question(Kind.RAW, images_NHWC.tobytes(), pieces=cut)
        replies = Answerer(touchy, Limits()).answer(Batch(1, [question]))
        assert [item["box"] for item in document(replies.replies[0])["items"]] == boxes
        assert replies.tally.images == 3 and sum(replies.tally.ink) == len(boxes)
    assert touchy.num_batches == 2
