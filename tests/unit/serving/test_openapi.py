"""The document that tells what is answered, beside what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.bundles import load
from pileus.serving import endpoints
from pileus.serving.answers import STATUSES, models_answer
from pileus.serving.endpoints import Endpoint
from pileus.serving.instruments import ROUTES
from pileus.serving.openapi import document
from pileus.serving.server import ServeOptions, running

DESCRIBED = [
    each
    for value in vars(endpoints).values()
    for each in (value if type(value) is tuple else (value,))
    if isinstance(each, Endpoint)
]


@pytest.fixture(scope="module")
def client(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    options = ServeOptions(port=0, feedback=str(tmp_path_factory.mktemp("feedback")))
    with running(load(bundle_folder), options) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def told(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/openapi.json").json())


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, methods in told["paths"].items() for method, each in methods.items()]


def test_all_that_is_described_is_told(told: dict[str, Any]) -> None:
    assert told["openapi"] == "3.1.0"
    assert {(path, method.upper()) for path, method, _ in operations(told)} == {
        (each.path, each.method) for each in DESCRIBED
    }
    names = [each["operationId"] for _, _, each in operations(told)]
    assert len(set(names)) == len(names)


def test_all_that_is_told_is_answered_as_it_is_told(client: httpx.Client, told: dict[str, Any]) -> None:
    """With a model's real name what is read succeeds; what is sent empty is refused by its handler, not by routing."""
    model = client.get("/v1/models").json()["models"][0]
    parts = {"{model}": model["name"], "{version}": model["version"], "{file}": "model.onnx"}
    for path, method, operation in operations(told):
        filled = path
        for name, value in parts.items():
            filled = filled.replace(name, value)
        assert "{" not in filled
        response = client.request(method, filled)
        assert response.status_code == 200 if method == "get" else response.status_code in (400, 415), filled
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in operation["responses"][str(response.status_code)]["content"]
        other = client.request("DELETE", filled)
        assert other.status_code == 405 and method.upper() in other.headers["allow"]


def test_what_there_is_not_is_not_told(bundle_folder: Path) -> None:
    with running(load(bundle_folder), ServeOptions(port=0, api_key="k")) as url:
        told = httpx.get(f"{url}/openapi.json").json()
        assert "/v1/feedback" not in told["paths"]
        assert httpx.get(f"{url}/v1/models").status_code == 401
    assert "401" in told["paths"]["/v1/models"]["get"]["responses"]
    assert told["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
    assert "security" not in told["paths"]["/livez"]["get"]


def test_every_reference_leads_somewhere_and_every_schema_is_used(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    schemas = told["components"]["schemas"]
    named = {each.split('"')[0] for each in text.split('"#/components/schemas/')[1:]}
    assert named == set(schemas)


def test_models_are_told_as_they_are_described(bundle_folder: Path, told: dict[str, Any]) -> None:
    manifest = load(bundle_folder).manifest
    model = told["components"]["schemas"]["Models"]["properties"]["models"]["items"]
    answer = json.loads(models_answer(manifest, manifest, keeps_feedback=True).body)
    assert [each["role"] for each in answer["models"]] == model["properties"]["role"]["enum"]
    for each in answer["models"]:
        assert set(model["required"]) <= set(each) <= set(model["properties"])


def test_every_status_is_one_that_is_counted() -> None:
    for with_key in (False, True):
        for _, _, operation in operations(document(DESCRIBED, with_key=with_key)):
            assert {int(status) for status in operation["responses"]} <= set(STATUSES)


def test_every_label_is_one_that_is_counted() -> None:
    assert {each.label for each in DESCRIBED} | {"/", "asset", "other"} == set(ROUTES)
