"""The Open Inference Protocol as its public client speaks it, against a real server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from pileus.bundles import Bundle, Prediction, load
from pileus.serving.batching import Admission
from pileus.serving.server import ServeOptions, running
from pileus.serving.service import Settings
from tests.unit.serving.conftest import GatedBundle

NAMES = ("probabilities", "label", "confidence", "verdict")
INFER = "/v2/models/digits/infer"


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return load(bundle_folder)


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[str]:
    with running(bundle, ServeOptions(port=0)) as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(urlsplit(server).netloc) as client:
        yield client


def images(count: int, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), np.uint8)


def input_of(
    images_NHWC: NDArray[Any], *, binary: bool = True, name: str = "images", datatype: str = "UINT8"
) -> InferInput:
    told = InferInput(name, list(images_NHWC.shape), datatype)
    told.set_data_from_numpy(images_NHWC, binary_data=binary)
    return told


def assert_tells(result: InferResult, expected: list[Prediction]) -> None:
    probabilities_NK = np.array([list(each.probabilities.values()) for each in expected], np.float32)
    assert result.as_numpy("probabilities").dtype == result.as_numpy("confidence").dtype == np.float32
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities_NK, atol=1e-6)
    np.testing.assert_allclose(result.as_numpy("confidence"), [each.confidence for each in expected], atol=1e-6)
    assert texts(result, "label") == [each.label or "" for each in expected]
    assert texts(result, "verdict") == [each.verdict for each in expected]


def texts(result: InferResult, name: str) -> list[str]:
    """Texts come as bytes where they were binary, as text where they were JSON."""
    return [value.decode() if isinstance(value, bytes) else value for value in result.as_numpy(name).tolist()]


def refused(client: InferenceServerClient, status: int, model: str = "digits", **asked: Any) -> str:
    with pytest.raises(InferenceServerException) as refusal:
        client.infer(model, **asked)
    assert refusal.value.status() == str(status)
    return str(refusal.value.message())


def test_health_and_metadata(client: InferenceServerClient, bundle: Bundle) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", bundle.version)
    assert not client.is_model_ready("letters") and not client.is_model_ready("digits", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("digits")
    assert metadata == client.get_model_metadata("digits", bundle.version)
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}]
    assert [(each["name"], each["datatype"], each["shape"]) for each in metadata["outputs"]] == [
        ("probabilities", "FP32", [-1, 10]),
        ("label", "BYTES", [-1]),
        ("confidence", "FP32", [-1]),
        ("verdict", "BYTES", [-1]),
    ]
    with pytest.raises(InferenceServerException, match="no model 'letters'"):
        client.get_model_metadata("letters")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("count", [1, 17])
def test_inference(
    client: InferenceServerClient, bundle: Bundle, binary_in: bool, binary_out: bool | None, count: int
) -> None:
    outputs = None if binary_out is None else [InferRequestedOutput(name, binary_data=binary_out) for name in NAMES]
    given = input_of(images(count), binary=binary_in)
    result = client.infer("digits", [given], outputs=outputs, request_id="r-1", model_version=bundle.version)
    assert_tells(result, bundle.predict(images(count)))
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r-1", "digits", bundle.version)
    assert [each["name"] for each in response["outputs"]] == list(NAMES)


def test_only_the_outputs_asked_for(client: InferenceServerClient) -> None:
    outputs = [InferRequestedOutput("verdict", binary_data=False), InferRequestedOutput("label")]
    response = client.infer("digits", [input_of(images(2))], outputs=outputs).get_response()
    assert [(each["name"], "data" in each) for each in response["outputs"]] == [("verdict", True), ("label", False)]
    assert "id" not in response


def test_as_many_images_as_may_be(client: InferenceServerClient, bundle: Bundle) -> None:
    assert_tells(client.infer("digits", [input_of(images(256))]), bundle.predict(images(256)))
    assert "1 to 256 images (got 257)" in refused(client, 400, inputs=[input_of(images(257))])


def test_what_the_model_has_not(client: InferenceServerClient, bundle: Bundle) -> None:
    one = input_of(images(1))
    assert "[N, 28, 28, 1]" in refused(client, 400, inputs=[input_of(images(1)[:, :27])])
    wrong = input_of(images(1).astype(np.float32), datatype="FP32")
    assert "UINT8 (got FP32)" in refused(client, 400, inputs=[wrong])
    assert "got pixels" in refused(client, 400, inputs=[input_of(images(1), name="pixels")])
    assert "got logits" in refused(client, 400, inputs=[one], outputs=[InferRequestedOutput("logits")])
    counted = InferRequestedOutput("probabilities", class_count=3)
    assert "classification" in refused(client, 400, inputs=[one], outputs=[counted])
    assert "no model 'letters'" in refused(client, 404, "letters", inputs=[one])
    assert "no model 'digits@1'" in refused(client, 404, inputs=[one], model_version="1")
    assert "unpacked" in refused(client, 415, inputs=[one], request_compression_algorithm="gzip")
    assert_tells(client.infer("digits", [one]), bundle.predict(images(1)))


def test_many_at_once_get_their_own_answers(server: str, bundle: Bundle) -> None:
    with InferenceServerClient(urlsplit(server).netloc, concurrency=8) as client:
        counts = [1 + number % 5 for number in range(40)]
        asked = [
            client.async_infer("digits", [input_of(images(count, seed))], request_id=str(seed))
            for seed, count in enumerate(counts)
        ]
        for seed, (each, count) in enumerate(zip(asked, counts, strict=True)):
            result = each.get_result(timeout=20)
            assert result.get_response()["id"] == str(seed)
            assert_tells(result, bundle.predict(images(count, seed)))


def test_errors_have_the_shape_of_the_protocol(server: str) -> None:
    headers = {"Content-Type": "application/json"}
    with httpx.Client(base_url=server, timeout=20) as client:
        refusals = [
            (client.post(INFER, content=b"{", headers=headers), 400),
            (client.post(INFER, json={"inputs": []}), 400),
            (client.post(INFER, json={"inputs": []}, headers={"Inference-Header-Content-Length": "99"}), 400),
            (client.get("/v2/models"), 404),
            (client.get("/v2/models/digits/versions/1"), 404),
            (client.get("/v2/models/{model}"), 404),
            (client.get("/v2/models/%ff%00/ready"), 404),
            (client.get(INFER), 405),
            (client.post(INFER, content=bytes(2 * 1024 * 1024), headers=headers), 413),
            (client.post(INFER, files={"images": b"x"}), 415),
            (client.post(INFER, content=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), 415),
        ]
        for response, status in refusals:
            assert response.status_code == status, response.text
            assert response.headers["content-type"] == "application/json"
            assert set(response.json()) == {"error"}
        assert client.get("/v2/models/%64igits/ready").json() == {"name": "digits", "ready": True}


def test_a_key_is_asked_for(bundle: Bundle) -> None:
    with (
        running(bundle, ServeOptions(port=0, api_key="secret")) as url,
        InferenceServerClient(urlsplit(url).netloc) as client,
    ):
        assert client.is_server_live() and client.is_server_ready()
        key = {"Authorization": "Bearer secret"}
        assert client.is_model_ready("digits", headers=key) and not client.is_model_ready("digits")
        assert "key is required" in refused(client, 401, inputs=[input_of(images(1))])
        client.infer("digits", [input_of(images(1))], headers=key)


def test_who_cannot_be_answered_is_told_so(gated: GatedBundle) -> None:
    """The same queue and the same deadlines as for every other prediction."""
    options = ServeOptions(port=0, settings=Settings(admission=Admission(max_batch=1, max_queue=1)))
    body = json.dumps(
        {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 28, 28, 1], "data": [0] * 784}]}
    ).encode()
    with (
        running(gated, options) as url,
        httpx.Client(base_url=url, timeout=20) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        gated.gate.clear()
        gated.entered.clear()
        first = pool.submit(client.post, INFER, content=body)
        assert gated.entered.wait(20)
        late = client.post(INFER, content=body, headers={"X-Deadline-Ms": "50"})
        assert late.status_code == 504 and "50 ms" in late.json()["error"]
        gated.gate.set()
        assert first.result().status_code == 200
        gated.failure = MemoryError("no room")
        failed = client.post(INFER, content=body)
        assert failed.status_code == 500 and "log" in failed.json()["error"]
