"""Requests of the Open Inference Protocol to questions, and predictions to its tensors, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pileus.bundles import Bundle, Manifest, load
from pileus.serving.answering import Answerer
from pileus.serving.answers import Refusal
from pileus.serving.frames import Batch, Kind, Output, Question, Tensors
from pileus.serving.requests import Limits
from pileus.serving.tensors import OUTPUTS, bytes_of_numbers, json_bytes_of, question_of, reply_of

SHAPE = (2, 2, 1)


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return load(bundle_folder)


@pytest.fixture(scope="module")
def manifest(bundle: Bundle) -> Manifest:
    return bundle.manifest


def images_of(count: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "name": "images",
        "shape": [count, 28, 28, 1],
        "datatype": "UINT8",
        "data": [7] * (784 * count),
        **changes,
    }


def without_data(*, binary_data_size: int, count: int = 1) -> dict[str, Any]:
    told = images_of(count, parameters={"binary_data_size": binary_data_size})
    del told["data"]
    return told


def asked(manifest: Manifest, *inputs: dict[str, Any], tail: bytes | None = None, **more: Any) -> Question:
    text = json.dumps({"inputs": list(inputs), **more}).encode()
    return question_of(text + (tail or b""), None if tail is None else len(text), manifest, 8)


def refused(manifest: Manifest, *inputs: dict[str, Any], tail: bytes | None = None, **more: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        asked(manifest, *inputs, tail=tail, **more)
    assert refusal.value.status == 400
    return refusal.value.detail


def test_numbers_stay_as_they_came_until_a_predictor_reads_them(manifest: Manifest) -> None:
    question = asked(manifest, images_of(3), id="mine")
    assert (question.kind, question.weight) == (Kind.NUMBERS, 3)
    assert json.loads(question.body) == [7] * 784 * 3
    assert question.tensors == Tensors("mine", 3, [Output(name, False) for name in OUTPUTS])


def test_binary_images_are_what_follows_the_json(manifest: Manifest) -> None:
    question = asked(manifest, without_data(binary_data_size=784), tail=b"\x05" * 784)
    assert (question.kind, question.weight, question.body) == (Kind.RAW, 1, b"\x05" * 784)


def test_outputs_are_those_asked_for_in_their_order_and_form(manifest: Manifest) -> None:
    outputs = [{"name": "label"}, {"name": "confidence", "parameters": {"binary_data": False}}]
    question = asked(manifest, images_of(), outputs=outputs, parameters={"binary_data_output": True})
    assert question.tensors is not None
    assert question.tensors.outputs == [Output("label", True), Output("confidence", False)]


def test_what_is_not_known_is_skipped(manifest: Manifest) -> None:
    parameters = {"sequence_id": 7, "priority": 1, "mine": "x"}
    assert asked(manifest, images_of(parameters={"dtype": 1}), parameters=parameters, extra=[{}]).weight == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "image"}, "one input, images (got image)"),
        ({"datatype": "FP32"}, "UINT8 (got FP32)"),
        ({"shape": [1, 28, 28]}, r"[N, 28, 28, 1] (got [1, 28, 28])"),
        ({"shape": [1, 1, 28, 28]}, r"[N, 28, 28, 1]"),
        ({"shape": []}, r"[N, 28, 28, 1] (got [])"),
        ({"shape": [0, 28, 28, 1]}, "1 to 8 images (got 0)"),
        ({"shape": [9, 28, 28, 1]}, "1 to 8 images (got 9)"),
        ({"shape": [-1, 28, 28, 1]}, "a request is"),
        ({"shape": [10**30, 28, 28, 1]}, "a request is"),
        ({"shape": "wide"}, "a request is"),
        ({"parameters": {"binary_data_size": 784}}, "both data and binary_data_size"),
        ({"parameters": {"binary_data_size": "all"}}, "a request is"),
    ],
)
def test_inputs_that_the_model_has_not(manifest: Manifest, changes: dict[str, Any], said: str) -> None:
    assert said in refused(manifest, images_of(**changes))


def test_inputs_without_or_with_too_much_data(manifest: Manifest) -> None:
    without = images_of()
    del without["data"]
    assert "neither" in refused(manifest, without)
    assert "one input" in refused(manifest)
    assert "one input" in refused(manifest, images_of(), images_of())
    assert "follow the JSON" in refused(manifest, images_of(), tail=b"x")


@pytest.mark.parametrize(("size", "num_bytes"), [(783, 783), (784, 783), (784, 785), (783, 784), (0, 0)])
def test_binary_sizes_that_do_not_fit(manifest: Manifest, size: int, num_bytes: int) -> None:
    said = refused(manifest, without_data(binary_data_size=size), tail=bytes(num_bytes))
    assert f"784 bytes behind the JSON (got binary_data_size {size} and {num_bytes} bytes)" in said


def test_binary_data_without_its_header(manifest: Manifest) -> None:
    assert "Inference-Header-Content-Length tells" in refused(manifest, without_data(binary_data_size=784))


@pytest.mark.parametrize(
    "outputs",
    [
        [{"name": "logits"}],
        [{"name": "label"}, {"name": "label"}],
        [{"name": "probabilities", "parameters": {"classification": 3}}],
        [{}],
        "label",
    ],
)
def test_outputs_that_there_are_not(manifest: Manifest, outputs: Any) -> None:
    refused(manifest, images_of(), outputs=outputs)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"inputs": ' + b"[" * 100_000, b"null"])
def test_what_is_no_request(manifest: Manifest, body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        question_of(body, None, manifest, 8)
    assert refusal.value.status == 400


def test_a_length_beyond_the_body(manifest: Manifest) -> None:
    with pytest.raises(Refusal, match="is 3, the whole body 2"):
        question_of(b"{}", 3, manifest, 8)


@pytest.mark.parametrize("text", [b"-1", b"", b"1 ", b"0x1", b"9999999", b"1" * 5000, "٣".encode()])
def test_lengths_that_are_none(text: bytes) -> None:
    with pytest.raises(Refusal, match="whole number up to"):
        json_bytes_of({b"inference-header-content-length": text}, Limits())


@pytest.mark.parametrize("media_type", [b"multipart/form-data; boundary=x", b"text/plain", b"image/png", b"\xff"])
def test_types_that_are_not_read(media_type: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        json_bytes_of({b"content-type": media_type}, Limits())
    assert refusal.value.status == 415


@pytest.mark.parametrize("body", [b"[1,2,3,4,5,6,7,8]", b"[[[[1],[2]],[[3],[4]]], [[[5],[6]],[[7],[8]]]]"])
def test_numbers_may_be_flat_or_nested(body: bytes) -> None:
    assert bytes_of_numbers(b" " + body, 2, SHAPE) == bytes(range(1, 9))


@pytest.mark.parametrize(
    "body",
    [
        b"[1,2,3]",
        b"[1,2,3,4,5]",
        b"[1,2,3,256]",
        b"[1,2,3,-1]",
        b"[1,2,3,4.5]",
        b"[1,2,3,true]",
        b'[1,2,3,"4"]',
        b"[1,2,3,1e99]",
        b"[[1,2],[3,4]]",
        b"[[[[1],[2]],[[3]]]]",
        b"[[[[1],[2],[3]],[[4]]]]",
        b"[[[[1,2],[]],[[3],[4]]]]",
        b"[[[[1],[2]],[[3],[4]]],[]]",
        b"[[[[1],[2]],[[3],[4]]]",
        b"7",
        b"null",
        b'"AAAA"',
        b"[" * 100_000,
    ],
)
def test_numbers_that_are_no_images(body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        bytes_of_numbers(body, 1, SHAPE)
    assert refusal.value.status == 400


def test_a_predictor_answers_each_image_by_itself(bundle: Bundle) -> None:
    images_NHWC = np.random.default_rng(2).integers(0, 256, (5, 28, 28, 1), np.uint8)
    outputs = [Output(name, False) for name in OUTPUTS]
    questions = [
        Question(Kind.RAW, images_NHWC[:2].tobytes(), tensors=Tensors("", 2, outputs)),
        Question(Kind.NUMBERS, json.dumps(images_NHWC[2:].tolist()).encode(), tensors=Tensors("", 3, outputs)),
        Question(Kind.NUMBERS, b"[]", tensors=Tensors("", 1, outputs)),
    ]
    replies = Answerer(bundle, Limits()).answer(Batch(1, questions)).replies
    assert [reply.status for reply in replies] == [200, 200, 400]
    told = [{each["name"]: each["data"] for each in json.loads(reply.body)["outputs"]} for reply in replies[:2]]
    expected = bundle.predict(images_NHWC)
    assert [*told[0]["verdict"], *told[1]["verdict"]] == [each.verdict for each in expected]
    assert [*told[0]["confidence"], *told[1]["confidence"]] == pytest.approx([each.confidence for each in expected])
    probabilities = [value for each in expected for value in each.probabilities.values()]
    assert [*told[0]["probabilities"], *told[1]["probabilities"]] == pytest.approx(probabilities, abs=1e-6)


def test_texts_are_packed_with_their_lengths(bundle: Bundle) -> None:
    answers = bundle.predict(np.zeros((2, 28, 28, 1), np.uint8))
    reply = reply_of(answers, Tensors("", 2, [Output("verdict", True)]), bundle.manifest)
    one = answers[0].verdict.encode()
    assert reply.body[reply.json_bytes :] == (len(one).to_bytes(4, "little") + one) * 2
    (output,) = json.loads(reply.body[: reply.json_bytes])["outputs"]
    assert output["parameters"]["binary_data_size"] == 2 * (4 + len(one)) and "data" not in output
