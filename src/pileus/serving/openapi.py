"""The OpenAPI 3.1 document of what a server answers, made from the same values that it is routed by."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from pileus.serving.endpoints import JSON_TYPE, SCHEMAS, STRUCTS, Endpoint, Parameter, Schema

_PROBLEM = "application/problem+json"
_ANY = (400, 408, 413, 417, 429, 431, 500)
"""What every request may be refused with: of its head, its body's size or pace, the memory, or a fault."""
_ERRORS: dict[str, Schema] = {
    "Problem": {
        "description": "RFC 9457",
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail", "request_id"],
    },
    "Error": {
        "description": "Of the Open Inference Protocol",
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
    },
}


def is_inference(path: str | bytes) -> bool:
    """Whether the Open Inference Protocol rules there, errors included."""
    text = path if isinstance(path, str) else path.decode("latin-1")
    return text == "/v2" or text.startswith("/v2/")


def document(endpoints: Sequence[Endpoint], *, with_key: bool) -> dict[str, Any]:
    """`with_key`: one is asked for where an endpoint needs it."""
    _, structs = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, with_key)
    components: dict[str, Any] = {"schemas": {**SCHEMAS, **structs, **_ERRORS}}
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pileus", "version": version(), "description": "A model at work. See /v1/models."},
        "paths": paths,
        "components": components,
    }


def version() -> str:
    """Of this software."""
    try:
        return importlib.metadata.version("pileus")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def statuses(endpoint: Endpoint, *, with_key: bool) -> list[int]:
    """All that it may answer."""
    keyed = (401,) if with_key and endpoint.needs_key else ()
    known = (304,) if endpoint.path.startswith("/v1/bundles") else ()
    return sorted({*endpoint.answers, *endpoint.refusals, *_ANY, *keyed, *known})


def _operation(endpoint: Endpoint, with_key: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "summary": endpoint.summary,
        "parameters": [_parameter(each) for each in endpoint.parameters],
        "responses": {str(status): _response(endpoint, status) for status in statuses(endpoint, with_key=with_key)},
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    if with_key and endpoint.needs_key:
        operation["security"] = [{"key": []}]
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _response(endpoint: Endpoint, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status in endpoint.answers:
        response["content"] = _content(endpoint.answers[status])
    elif status >= 400:
        media_type, name = (JSON_TYPE, "Error") if is_inference(endpoint.path) else (_PROBLEM, "Problem")
        response["content"] = {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return response


def _content(by_type: Any) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type, schema in by_type.items()}
