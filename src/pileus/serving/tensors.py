"""The Open Inference Protocol's tensors (KServe's "V2"): from a request to a question, from predictions to an answer.

JSON, and the extension for binary tensors: then the body is JSON of the length that a header tells, and after it the
inputs' bytes one behind the other, as the JSON says; the answer is made alike. Every image is answered by itself.
What is wrong with a request is refused with 400, as the protocol has it, before it costs anything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from pileus.bundles import Manifest, Prediction
from pileus.serving.answers import Refusal
from pileus.serving.frames import Kind, Output, Question, Reply, Tensors
from pileus.serving.requests import Headers, Limits, decoded

JSON_LENGTH = b"inference-header-content-length"
"""The header that tells of binary tensors behind so many bytes of JSON."""
INPUT, DATATYPE = "images", "UINT8"

_TYPES = ("", "application/json", "application/octet-stream")
_LENGTH = struct.Struct("<I")
_RULE = 'a request is {"inputs": [{"name", "shape", "datatype", "data"}], "outputs": [{"name"}]}'


_Size = Annotated[int, Meta(ge=0, lt=2**31)]


class InputParameters(msgspec.Struct):
    binary_data_size: _Size | None = None
    """Bytes behind the JSON."""


class RequestInput(msgspec.Struct):
    name: str
    shape: Annotated[list[_Size], Meta(max_length=8)]
    datatype: str
    parameters: InputParameters = msgspec.field(default_factory=InputParameters)
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: _Size = 0
    """Known and refused."""


class RequestOutput(msgspec.Struct):
    name: str
    parameters: OutputParameters = msgspec.field(default_factory=OutputParameters)


class RequestParameters(msgspec.Struct):
    binary_data_output: bool = False
    """Of the outputs that do not say it of themselves."""


class InferenceRequest(msgspec.Struct):
    """Fields that it does not know are skipped, as the protocol asks."""

    inputs: list[RequestInput]
    outputs: list[RequestOutput] = msgspec.field(default_factory=list)
    """Empty asks for all."""
    id: str = ""
    parameters: RequestParameters = msgspec.field(default_factory=RequestParameters)


_decode = msgspec.json.Decoder(InferenceRequest).decode
_decode_flat = msgspec.json.Decoder(list[int]).decode
_decode_nested = msgspec.json.Decoder(list[list[list[list[int]]]]).decode


class _Tensor:
    """One of the outputs: how it is told."""

    def __init__(self, datatype: str, of: Callable[[Prediction], Any], *, by_class: bool = False) -> None:
        self.datatype, self.of, self.by_class = datatype, of, by_class

    def shape(self, count: int, manifest: Manifest) -> list[int]:
        return [count, len(manifest.classes)] if self.by_class else [count]


OUTPUTS: Mapping[str, _Tensor] = {
    "probabilities": _Tensor("FP32", lambda answer: list(answer.probabilities.values()), by_class=True),
    "label": _Tensor("BYTES", lambda answer: answer.label or ""),
    "confidence": _Tensor("FP32", lambda answer: answer.confidence),
    "verdict": _Tensor("BYTES", lambda answer: answer.verdict),
}
"""By name, in the order in which they are told where none are asked for. The label of what was rejected is empty."""


def json_bytes_of(headers: Headers, limits: Limits) -> int | None:
    """How much of the body is JSON; None: all of it. A Refusal for a type or a length that cannot be."""
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type not in _TYPES:
        raise Refusal(415, f"inference reads {_TYPES[1]} and {_TYPES[2]} (got {media_type[:100]}); send one of these.")
    text = headers.get(JSON_LENGTH)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9 or int(text) > limits.strokes_bytes:
        raise Refusal(
            400,
            f"Inference-Header-Content-Length is a whole number up to {limits.strokes_bytes} "
            f"(got {text[:20].decode('latin-1')!r}).",
        )
    return int(text)


def question_of(body: bytes, json_bytes: int | None, manifest: Manifest, most_images: int) -> Question:
    """A Refusal where this model cannot answer it; numbers in JSON are looked at by the predictor only."""
    if json_bytes is not None and json_bytes > len(body):
        raise Refusal(400, f"Inference-Header-Content-Length is {json_bytes}, the whole body {len(body)} bytes.")
    text, tail = (body, b"") if json_bytes is None else (body[:json_bytes], body[json_bytes:])
    request = decoded(_decode, text, _RULE, impossible=400)
    if [each.name for each in request.inputs] != [INPUT]:
        got = ", ".join(each.name[:50] for each in request.inputs[:5]) or "none"
        raise Refusal(400, f"this model has one input, {INPUT} (got {got}).")
    (asked,) = request.inputs
    count = _num_images(asked, manifest, most_images)
    tensors = Tensors(request.id, count, _outputs(request))
    if asked.parameters.binary_data_size is None:
        if not len(asked.data):
            raise Refusal(400, f"{INPUT} has neither data nor binary_data_size; send one of them.")
        if tail:
            raise Refusal(400, f"{len(tail)} bytes follow the JSON that no input has as its binary_data_size.")
        return Question(Kind.NUMBERS, bytes(asked.data), weight=count, tensors=tensors)
    _check_binary(asked, tail, count * _image_bytes(manifest))
    return Question(Kind.RAW, tail, weight=count, tensors=tensors)


def bytes_of_numbers(body: bytes, count: int, input_shape: tuple[int, int, int]) -> bytes:
    """Of `count` images, from JSON: one flat list or one nested by N, H, W and C. A Refusal where it is neither."""
    rule = f"the data of {INPUT} is whole numbers in [0, 255], in one list or in lists by N, H, W and C"
    try:
        if body.lstrip()[1:].lstrip()[:1] == b"[":
            numbers = _flat(decoded(_decode_nested, body, rule, impossible=400), (count, *input_shape))
        else:
            numbers = decoded(_decode_flat, body, rule, impossible=400)
        content = bytes(numbers)
    except ValueError as error:
        raise Refusal(400, f"{rule}: {error}.") from error
    expected = count * input_shape[0] * input_shape[1] * input_shape[2]
    if len(content) != expected:
        raise Refusal(400, f"{INPUT} of this shape has {expected} numbers (got {len(content)}).")
    return content


def reply_of(answers: Sequence[Prediction], asked: Tensors, manifest: Manifest) -> Reply:
    """The whole body of an answer, from one prediction an image."""
    outputs, tails = [], []
    for output in asked.outputs:
        tensor = OUTPUTS[output.name]
        told: dict[str, Any] = {
            "name": output.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape(len(answers), manifest),
        }
        values = [tensor.of(answer) for answer in answers]
        if output.binary:
            tails.append(_packed(values, tensor.datatype))
            told["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            told["data"] = list(chain.from_iterable(values)) if tensor.by_class else values
        outputs.append(told)
    document = {
        "model_name": manifest.name,
        "model_version": manifest.short_version,
        **({"id": asked.id} if asked.id else {}),
        "outputs": outputs,
    }
    text = msgspec.json.encode(document)
    return Reply(200, b"".join([text, *tails]), json_bytes=len(text) if tails else 0)


def described(manifest: Manifest) -> dict[str, Any]:
    """The model's metadata. Its first axis, of images, is free."""
    return {
        "name": manifest.name,
        "versions": [manifest.short_version],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, *manifest.input_shape]}],
        "outputs": [
            {"name": name, "datatype": tensor.datatype, "shape": tensor.shape(-1, manifest)}
            for name, tensor in OUTPUTS.items()
        ],
    }


def _image_bytes(manifest: Manifest) -> int:
    height, width, channels = manifest.input_shape
    return height * width * channels


def _num_images(asked: RequestInput, manifest: Manifest, most_images: int) -> int:
    if asked.datatype != DATATYPE:
        raise Refusal(400, f"{INPUT} is of {DATATYPE} (got {asked.datatype[:50]}); convert it.")
    count, *rest = asked.shape or [0]
    if tuple(rest) != manifest.input_shape:
        wanted = ", ".join(map(str, manifest.input_shape))
        raise Refusal(400, f"the shape of {INPUT} is [N, {wanted}] (got {asked.shape}); resize the images.")
    if not 1 <= count <= most_images:
        raise Refusal(400, f"one request may have 1 to {most_images} images (got {count}); send others apart.")
    return count


def _outputs(request: InferenceRequest) -> list[Output]:
    default = request.parameters.binary_data_output
    if not request.outputs:
        return [Output(name, default) for name in OUTPUTS]
    names = [output.name for output in request.outputs]
    if not set(names) <= set(OUTPUTS) or len(set(names)) < len(names):
        got = ", ".join(name[:50] for name in names[:8])
        raise Refusal(400, f"this model has the outputs {', '.join(OUTPUTS)}, each once (got {got}).")
    if any(output.parameters.classification for output in request.outputs):
        raise Refusal(400, "the extension `classification` is not spoken here; ask for probabilities or label.")
    binary = [output.parameters.binary_data for output in request.outputs]
    return [Output(name, default if own is None else own) for name, own in zip(names, binary, strict=True)]


def _check_binary(asked: RequestInput, tail: bytes, expected: int) -> None:
    told = asked.parameters.binary_data_size
    if len(asked.data):
        raise Refusal(400, f"{INPUT} has both data and binary_data_size; send one of them.")
    if not told == expected == len(tail):
        raise Refusal(
            400,
            f"{INPUT} of this shape has {expected} bytes behind the JSON (got binary_data_size {told} "
            f"and {len(tail)} bytes); Inference-Header-Content-Length tells where they begin.",
        )


def _flat(nested: list[list[list[list[int]]]], shape: tuple[int, ...]) -> list[int]:
    """ValueError unless the lists have these lengths throughout."""
    level: list[Any] = [nested]
    for axis, length in enumerate(shape):
        if any(len(each) != length for each in level):
            raise ValueError(f"lists of axis {axis} are to have {length} entries")
        level = list(chain.from_iterable(level))
    return level


def _packed(values: list[Any], datatype: str) -> bytes:
    if datatype == "FP32":
        return np.array(values, "<f4").tobytes()
    texts = [value.encode() for value in values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
