"""The API as its clients see it: a real server in a thread, real HTTP."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pileus.bundles import load
from pileus.preprocessing.strokes import rasterise
from pileus.serving.batching import NEVER, Admission
from pileus.serving.pages import bundle_pages, read_pages
from pileus.serving.requests import Limits
from pileus.serving.server import ServeOptions, running
from pileus.serving.service import Settings
from pileus.spec.preprocessing import Drawing
from tests.unit.serving.conftest import GatedBundle

SEVEN = {"strokes": [[[10, 10, 0], [90, 12, 30], [40, 95, 61]]]}
ANY_PORT = ServeOptions(port=0)
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def server(bundle_folder: Path) -> Iterator[str]:
    with running(load(bundle_folder), ANY_PORT) as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=20) as client:
        yield client


def problem_of(response: httpx.Response, status: int) -> str:
    """The detail of a refusal, which is complete and of this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    return str(problem["detail"])


def png_of(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=95)
    return buffer.getvalue()


def test_one_drawing_in_every_way_it_may_be_sent(client: httpx.Client, bundle_folder: Path) -> None:
    image_HWC = rasterise([np.array(stroke)[:, :2] for stroke in SEVEN["strokes"]], Drawing())
    (expected,) = load(bundle_folder).predict(image_HWC[None])
    answers = [
        client.post("/v1/predict", json=SEVEN),
        client.post("/v1/predict", content=image_HWC.tobytes(), headers=RAW),
        client.post("/v1/predict", content=png_of(image_HWC[:, :, 0]), headers={"Content-Type": "image/png"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        (item,) = answer.json()["items"]
        assert item["label"] == expected.label and item["verdict"] == expected.verdict
        assert item["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
        assert item["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    jpeg = client.post(
        "/v1/predict", content=png_of(image_HWC[:, :, 0], "JPEG"), headers={"Content-Type": "image/jpeg"}
    )
    assert jpeg.status_code == 200


def test_a_prediction_has_the_promised_shape(client: httpx.Client, bundle_folder: Path) -> None:
    response = client.post("/v1/predict?segment=none", json=SEVEN, headers={"X-Request-Id": "abc-1"})
    document = response.json()
    bundle = load(bundle_folder)
    assert set(document) == {"request_id", "model", "text", "confidence", "items"}
    assert document["request_id"] == "abc-1" == response.headers["x-request-id"]
    assert document["model"] == {"name": "digits", "version": bundle.version}
    (item,) = document["items"]
    assert set(item) == {"label", "confidence", "verdict", "probabilities", "box"}
    assert document["text"] == (item["label"] or "")
    assert item["box"] == [10, 10, 80, 85]
    assert list(item["probabilities"]) == list("0123456789")
    assert response.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"total;dur=\d+\.\d\d", response.headers["server-timing"])


def test_a_browser_may_fetch_the_model(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    options = ServeOptions(port=0, api_key="sesame")
    with running(bundle, options) as url, httpx.Client(base_url=url, timeout=20) as client:
        pages = bundle_pages(bundle.manifest, bundle.onnx)
        assert len(pages) == 2
        for path, page in pages.items():
            problem_of(client.get(path), 401)
            known = {"Authorization": "Bearer sesame"}
            found = client.get(path, headers=known)
            assert found.content == page.body and "immutable" in found.headers["cache-control"]
            assert found.headers["cache-control"].startswith("private")
            again = client.get(path, headers={**known, "If-None-Match": found.headers["etag"]})
            assert again.status_code == 304 and again.content == b""
        problem_of(client.get("/v1/bundles/0000/model.json", headers=known), 404)


def test_models(client: httpx.Client, bundle_folder: Path) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert model["name"] == "digits" and model["role"] == "production"
    assert model["version"] == load(bundle_folder).version
    assert model["classes"] == list("0123456789") and model["metrics"] == {"accuracy": 0.75}
    assert model["input"] == {"kind": "drawing", "height": 28, "width": 28, "channels": 1}


@pytest.mark.parametrize("path", ["/nothing", "/v1/feedback", "/v1/predict/", "/v1/bundles/a/b/c", "/..%2f", "/page"])
def test_nothing_there(client: httpx.Client, path: str) -> None:
    assert path.split("%")[0].rstrip(".") in problem_of(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/v1/predict", "POST"), ("POST", "/", "GET, HEAD"), ("DELETE", "/livez", "GET, HEAD")],
)
def test_other_methods(client: httpx.Client, method: str, path: str, allow: str) -> None:
    response = client.request(method, path)
    problem_of(response, 405)
    assert response.headers["allow"] == allow


def test_models_by_name(client: httpx.Client, bundle_folder: Path) -> None:
    version = load(bundle_folder).version
    for asked in ("digits", f"digits@{version}"):
        assert client.post("/v1/predict", params={"model": asked}, json=SEVEN).status_code == 200
    for asked in ("letters", "digits@0000", ""):
        detail = problem_of(client.post("/v1/predict", params={"model": asked}, json=SEVEN), 404)
        assert f"digits@{version}" in detail
    assert "segment" in problem_of(client.post("/v1/predict?segment=all", json=SEVEN), 422)


def test_refusals_of_bodies(client: httpx.Client) -> None:
    assert "Content-Type" in problem_of(client.post("/v1/predict", content=b"x"), 415)
    problem_of(client.post("/v1/predict", content=b"x", headers={"Content-Type": "text/html"}), 415)
    problem_of(client.post("/v1/predict", content=b"{", headers={"Content-Type": "application/json"}), 400)
    problem_of(client.post("/v1/predict", content=b"no", headers={"Content-Type": "image/png"}), 400)
    problem_of(client.post("/v1/predict", content=b"", headers=RAW), 400)
    problem_of(client.post("/v1/predict", content=bytes(783), headers=RAW), 422)
    assert "draw something" in problem_of(client.post("/v1/predict", json={"strokes": []}), 422)
    problem_of(client.post("/v1/predict", json=SEVEN, headers={"X-Deadline-Ms": "soon"}), 400)


def test_too_large_a_body_is_refused_before_and_while_it_comes(client: httpx.Client) -> None:
    too_much = Limits().body_bytes + 1
    problem_of(client.post("/v1/predict", content=bytes(too_much), headers=RAW), 413)
    chunks = (bytes(1024 * 1024) for _ in range(20))
    problem_of(client.post("/v1/predict", content=chunks, headers=RAW), 413)
    text = b'{"strokes":[' + b" " * Limits().strokes_bytes + b"]}"
    problem_of(client.post("/v1/predict", content=text, headers={"Content-Type": "application/json"}), 413)
    assert client.get("/livez").status_code == 200


def test_a_body_without_a_length(server: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=10)
    connection.putrequest("POST", "/v1/predict")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_the_page_and_its_assets(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in read_pages():
        asset = client.get(path)
        assert asset.status_code == 200 and asset.headers["x-content-type-options"] == "nosniff"
        again = client.get(path, headers={"If-None-Match": asset.headers["etag"]})
        assert again.status_code == 304 and again.content == b""
        head = client.head(path)
        assert head.content == b"" and int(head.headers["content-length"]) == len(asset.content)


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    before = _metric(client, 'pileus_requests_total{route="/v1/predict",status="200"}')
    client.post("/v1/predict", json=SEVEN)
    assert _metric(client, 'pileus_requests_total{route="/v1/predict",status="200"}') == before + 1
    assert _metric(client, "pileus_ready") == 1
    assert _metric(client, "pileus_queue_images") == 0
    text = client.get("/metrics").text
    sample = re.compile(r'^[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+$')
    assert all(line.startswith("# ") or sample.match(line) for line in text.splitlines())
    assert 'pileus_model_info{name="digits"' in text


def _metric(client: httpx.Client, sample: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(sample + " ")), 0.0)


def test_many_at_once_get_their_own_answers(server: str, bundle_folder: Path) -> None:
    images_NHWC = np.random.default_rng(5).integers(0, 256, (60, 28, 28, 1), np.uint8)
    expected = load(bundle_folder).predict(images_NHWC)
    with httpx.Client(base_url=server, timeout=20) as client, ThreadPoolExecutor(12) as pool:
        answers = pool.map(
            lambda image: client.post("/v1/predict", content=image.tobytes(), headers=RAW).json(), images_NHWC
        )
        for answer, prediction in zip(answers, expected, strict=True):
            assert answer["items"][0]["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)


def test_a_model_of_photographs(photographs_folder: Path) -> None:
    with running(load(photographs_folder), ANY_PORT) as url, httpx.Client(base_url=url, timeout=20) as client:
        photograph = png_of(np.random.default_rng(0).integers(0, 256, (30, 90, 3), np.uint8))
        answer = client.post("/v1/predict", content=photograph, headers={"Content-Type": "image/png"}).json()
        assert answer["items"][0]["box"] == [22, 0, 45, 30]
        assert "strokes" not in problem_of(client.post("/v1/predict", json=SEVEN), 415)
        (model,) = client.get("/v1/models").json()["models"]
        assert model["input"] == {"kind": "picture", "height": 16, "width": 24, "channels": 3}


def test_a_key_is_asked_for(bundle_folder: Path) -> None:
    options = ServeOptions(port=0, api_key="sesame")
    with running(load(bundle_folder), options) as url, httpx.Client(base_url=url, timeout=20) as client:
        for path in ("/", "/livez", "/readyz", "/worker.js"):
            assert client.get(path).status_code == 200
        for key in ("", "Bearer", "Bearer open", "Basic sesame", "sesame", "Bearer sesam\u00e9"):
            refused = client.post("/v1/predict", json=SEVEN, headers=[(b"Authorization", key.encode())])
            problem_of(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/metrics"):
            problem_of(client.get(path), 401)
        client.headers["Authorization"] = "Bearer sesame"
        assert client.post("/v1/predict", json=SEVEN).status_code == 200
        assert client.get("/metrics").status_code == 200


def test_past_its_deadline(gated: GatedBundle) -> None:
    with running(gated, ANY_PORT) as url, httpx.Client(base_url=url, timeout=20) as client:
        gated.gate.clear()
        detail = problem_of(client.post("/v1/predict", json=SEVEN, headers={"X-Deadline-Ms": "50"}), 504)
        assert "50 ms" in detail
        gated.gate.set()
        assert client.post("/v1/predict", json=SEVEN).status_code == 200


def test_over_the_bound_it_is_refused_early(gated: GatedBundle) -> None:
    admission = Admission(max_batch=1, max_queue=1, ahead_s=NEVER)
    options = ServeOptions(port=0, settings=Settings(admission=admission))
    with (
        running(gated, options) as url,
        httpx.Client(base_url=url, timeout=20) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        gated.entered.clear()
        gated.gate.clear()
        waiting = [pool.submit(client.post, "/v1/predict", json=SEVEN)]
        assert gated.entered.wait(20)  # else both may come at once, and one be refused
        waiting.append(pool.submit(client.post, "/v1/predict", json=SEVEN))
        while _metric(client, "pileus_predictions_under_way") < 2:
            pass
        refused = client.post("/v1/predict", json=SEVEN)
        problem_of(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        gated.gate.set()
        assert [each.result().status_code for each in waiting] == [200, 200]


def test_a_predictor_that_fails_is_a_fault_of_the_server(gated: GatedBundle, caplog: pytest.LogCaptureFixture) -> None:
    with running(gated, ANY_PORT) as url, httpx.Client(base_url=url, timeout=20) as client:
        gated.failure = MemoryError("no room")
        assert "log" in problem_of(client.post("/v1/predict", json=SEVEN, headers={"X-Request-Id": "r-7"}), 500)
        gated.failure = None
        assert client.post("/v1/predict", json=SEVEN).status_code == 200
    assert "r-7" in caplog.text and "no room" in caplog.text


def test_starting_and_draining_are_not_ready(gated: GatedBundle) -> None:
    gated.gate.clear()
    seen: dict[str, httpx.Response] = {}

    def ask_while_starting(client: httpx.Client) -> None:
        assert gated.entered.wait(20)
        seen.update({path: client.get(path) for path in ("/readyz", "/livez")})
        seen["/v1/predict"] = client.post("/v1/predict", json=SEVEN)
        gated.gate.set()

    port = _free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        asking = threading.Thread(target=ask_while_starting, args=(client,))
        asking.start()
        with running(gated, ServeOptions(port=port)):
            asking.join()
            assert client.get("/readyz").status_code == 200
    for path in ("/readyz", "/v1/predict"):
        assert "starting" in problem_of(seen[path], 503)
        assert int(seen[path].headers["retry-after"]) >= 1
    assert seen["/livez"].status_code == 200


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_zipped_body_is_not_unpacked(client: httpx.Client) -> None:
    body = gzip.compress(json.dumps(SEVEN).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = client.post("/v1/predict", content=body, headers=headers)
    assert "unpacked" in problem_of(response, 415) and response.headers["accept-encoding"] == "identity"
    assert client.post("/v1/predict", json=SEVEN, headers={"Content-Encoding": "identity"}).status_code == 200
