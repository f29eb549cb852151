"""What the site answers, told once: it is routed by these values, and the OpenAPI document is made of them.

Who adds a route describes it here; `app.py` gives it a handler. What every request may be refused for, whatever its
route, is in `openapi.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pileus.serving.feedback import Correct
from pileus.serving.requests import Strokes
from pileus.serving.tensors import InferenceRequest

JSON_TYPE, BINARY, TEXT = "application/json", "application/octet-stream", "text/plain"

Schema = Mapping[str, Any]
"""JSON Schema 2020-12."""

BYTES: Schema = {"type": "string", "format": "binary"}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class Parameter(NamedTuple):
    name: str
    place: str
    """path, query or header"""
    schema: Schema
    description: str


class Endpoint(NamedTuple):
    method: str
    path: str
    """A part in braces stands for any one part."""
    label: str
    """In the metrics."""
    summary: str
    answers: Mapping[int, Mapping[str, Schema]]
    """Good ones: by status, then by media type."""
    refusals: tuple[int, ...] = ()
    """Statuses that are its own."""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] | None = None
    """By media type."""
    needs_key: bool = False


_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}


def _object(fields: Mapping[str, Schema], *optional: str) -> Schema:
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": fields, "required": required}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_VERDICT: Schema = {"enum": ["certain", "unsure", "rejected"]}
_MODEL: Schema = _object({"name": _TEXT, "version": _TEXT})
_PREDICTION = _object(
    {
        "request_id": _TEXT,
        "model": _MODEL,
        "text": _TEXT,
        "confidence": _SHARE,
        "items": _list(
            _object(
                {
                    "label": _TEXT_OR_NULL,
                    "confidence": _SHARE,
                    "verdict": _VERDICT,
                    "probabilities": {"type": "object", "additionalProperties": _SHARE},
                    "box": {**_list({"type": "integer"}), "minItems": 4, "maxItems": 4},
                }
            )
        ),
    }
)
_MODELS = _object(
    {
        "models": _list(
            _object(
                {
                    "name": _TEXT,
                    "version": _TEXT,
                    "role": {"enum": ["production", "shadow"]},
                    "classes": _list(_TEXT),
                    "none": _TEXT_OR_NULL,
                    "several": _TEXT_OR_NULL,
                    "input": _object(
                        {
                            "kind": {"enum": ["drawing", "picture"]},
                            "height": _COUNT,
                            "width": _COUNT,
                            "channels": _COUNT,
                        }
                    ),
                    "calibration": {"type": "object"},
                    "metrics": {"type": "object", "additionalProperties": _NUMBER},
                    "feedback": _FLAG,
                },
                "feedback",
            )
        )
    }
)
_TENSOR = _object({"name": _TEXT, "datatype": _TEXT, "shape": _list({"type": "integer"})})
_MODEL_METADATA = _object(
    {
        "name": _TEXT,
        "versions": _list(_TEXT),
        "platform": _TEXT,
        "inputs": _list(_TENSOR),
        "outputs": _list(_TENSOR),
    }
)
_INFERENCE = _object(
    {
        "model_name": _TEXT,
        "model_version": _TEXT,
        "id": _TEXT,
        "outputs": _list(
            _object(
                {
                    "name": _TEXT,
                    "datatype": {"enum": ["FP32", "BYTES"]},
                    "shape": _list(_COUNT),
                    "data": _list({"type": ["number", "string"]}),
                    "parameters": _object({"binary_data_size": _COUNT}),
                },
                "data",
                "parameters",
            )
        ),
    },
    "id",
)

SCHEMAS: Mapping[str, Schema] = {"Prediction": _PREDICTION, "Models": _MODELS, "ModelMetadata": _MODEL_METADATA,
                                 "Inference": _INFERENCE}  # fmt: skip
"""By name; those of `STRUCTS` are made from the types that decode them."""
STRUCTS = (Strokes, Correct, InferenceRequest)

_DEADLINE = Parameter(
    "X-Deadline-Ms",
    "header",
    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "Milliseconds that the answer is worth waiting for; 504 after that.",
)
_NAME = Parameter("model", "path", _TEXT, "The name of the model that answers here; /v1/models has it.")
_VERSION = Parameter("version", "path", _TEXT, "Its version, in short or in full.")
_JSON_LENGTH = Parameter(
    "Inference-Header-Content-Length",
    "header",
    {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    "Bytes of JSON before the binary tensors; left out where the body is all JSON.",
)


def _get(path: str, label: str, summary: str, schema: Schema, media_type: str = JSON_TYPE, **more: Any) -> Endpoint:
    return Endpoint("GET", path, label, summary, {200: {media_type: schema}}, **more)


_KEYED: dict[str, Any] = {"needs_key": True, "refusals": (503,)}
_OF_A_MODEL: dict[str, Any] = {"needs_key": True, "refusals": (404, 503)}
_STATUS = _object({"status": _TEXT})

DOCUMENT = _get("/openapi.json", "/openapi.json", "This document.", {"type": "object"})
LIVE = _get("/livez", "/livez", "Whether the server is alive.", _STATUS)
READY = _get(
    "/readyz", "/readyz", "Whether the model is warm and the server not about to stop.", _STATUS, refusals=(503,)
)
METRICS = _get("/metrics", "/metrics", "Metrics in Prometheus' text format.", _TEXT, TEXT, **_KEYED)
MODELS = _get("/v1/models", "/v1/models", "The model that answers.", _named("Models"), **_KEYED)
BUNDLE = Endpoint(
    "GET",
    "/v1/bundles/{version}/{file}",
    "/v1/bundles",
    "What a browser needs to answer by itself as the model does.",
    {200: {JSON_TYPE: {"type": "object"}, BINARY: BYTES}},
    refusals=(404, 503),
    parameters=(
        Parameter("version", "path", _TEXT, "The version of the model, in short."),
        Parameter("file", "path", _TEXT, "model.json or model.onnx"),
    ),
    needs_key=True,
)
PREDICT = Endpoint(
    "POST",
    "/v1/predict",
    "/v1/predict",
    "What is drawn, written or seen: one item a character, or one for a picture.",
    {200: {JSON_TYPE: _named("Prediction")}},
    refusals=(404, 411, 415, 422, 503, 504),
    parameters=(
        Parameter("model", "query", _TEXT, "NAME[@VERSION]; it must be the one that answers here."),
        Parameter("segment", "query", {"enum": ["none"]}, "none takes all as one item."),
        _DEADLINE,
    ),
    body={JSON_TYPE: _named("Strokes"), "image/png": BYTES, "image/jpeg": BYTES, BINARY: BYTES},
    needs_key=True,
)
FEEDBACK = Endpoint(
    "POST",
    "/v1/feedback",
    "/v1/feedback",
    "Corrects an item of a recent answer.",
    {202: {JSON_TYPE: _STATUS}},
    refusals=(404, 411, 415, 422, 503),
    body={JSON_TYPE: _named("Correct")},
    needs_key=True,
)

SERVER = _get(
    "/v2",
    "/v2",
    "The server, as the Open Inference Protocol asks.",
    _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    needs_key=True,
)
SERVER_LIVE = _get("/v2/health/live", "/v2/health", "Whether the server is alive.", _object({"live": _FLAG}))
SERVER_READY = Endpoint(
    "GET",
    "/v2/health/ready",
    "/v2/health",
    "Whether the model is warm and the server not about to stop: 200 is yes, 400 no.",
    {200: {JSON_TYPE: _object({"ready": _FLAG})}},
)
_IS_READY = _object({"name": _TEXT, "ready": _FLAG})


def _inference(path: str, *named: Parameter) -> Endpoint:
    return Endpoint(
        "POST",
        f"{path}/infer",
        "/v2/infer",
        "What the model makes of images, as tensors.",
        {200: {JSON_TYPE: _named("Inference"), BINARY: BYTES}},
        refusals=(404, 411, 415, 503, 504),
        parameters=(*named, _JSON_LENGTH, _DEADLINE),
        body={JSON_TYPE: _named("InferenceRequest"), BINARY: BYTES},
        needs_key=True,
    )


def _about(path: str, *named: Parameter) -> tuple[Endpoint, Endpoint, Endpoint]:
    """A model's metadata, its readiness, inference."""
    more = {"parameters": named, **_OF_A_MODEL}
    return (
        _get(path, "/v2/models", "The model's inputs and outputs.", _named("ModelMetadata"), **more),
        _get(f"{path}/ready", "/v2/models", "Whether the model can answer.", _IS_READY, **more),
        _inference(path, *named),
    )


OF_MODEL = _about("/v2/models/{model}", _NAME)
OF_VERSION = _about("/v2/models/{model}/versions/{version}", _NAME, _VERSION)
"""The same with a version."""
