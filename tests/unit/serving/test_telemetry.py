"""Traces as a collector gets them: a real server exports to a real receiver of OTLP over HTTP."""

from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pileus.bundles import load
from pileus.errors import MissingExtra, UsageError
from pileus.serving import processes
from pileus.serving.addresses import bind
from pileus.serving.server import ServeOptions, running

RAW = {"Content-Type": "application/octet-stream"}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPTIONS = ServeOptions(port=0, traces=True)


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        scopes = [scope for got in self.requests for resource in got.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]


class _Receiving(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.server.paths.add(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on the standard error."""


def attributes(holder: Any) -> dict[str, Any]:
    values = {each.key: each.value for each in holder.attributes}
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, name="collector")
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector
        collector.shutdown()
        thread.join(10)


@contextmanager
def client(bundle_folder: Path) -> Iterator[httpx.Client]:
    """Of a server that has exported its spans when the block is over."""
    with running(load(bundle_folder), OPTIONS) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def test_a_prediction_is_a_span_of_the_clients_trace(collector: Collector, bundle_folder: Path) -> None:
    with client(bundle_folder) as asking:
        headers = {**RAW, "traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine-1"}
        answer = asking.post("/v1/predict", content=bytes(784), headers=headers)
    assert answer.status_code == 200
    (span,) = collector.spans()
    assert collector.paths == {"/v1/traces"}
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert span.name == "POST /v1/predict" and span.kind == 2  # a server's
    told = attributes(span)
    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert 0 < told.pop("pileus.queue_s") + told.pop("pileus.batch.compute_s") < seconds < 20
    assert told == {
        "http.request.method": "POST",
        "http.route": "/v1/predict",
        "http.response.status_code": 200,
        "url.path": "/v1/predict",
        "url.scheme": "http",
        "pileus.request_id": "mine-1",
        "pileus.model.version": load(bundle_folder).version,
        "pileus.batch.questions": 1,
        "pileus.batch.images": 1,
        "pileus.predictor.pid": os.getpid(),
    }
    resource = attributes(collector.requests[0].resource_spans[0].resource)
    assert resource["service.name"] == "pileus" and resource["process.pid"] == os.getpid()


def test_a_refusal_is_a_span_and_what_only_looks_is_none(
    collector: Collector, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits-in-the-hall")
    with client(bundle_folder) as asking:
        for path in ("/", "/livez", "/metrics", "/v1/models"):
            assert "traceresponse" not in asking.get(path).headers
        refused = asking.post("/v1/predict", content=bytes(3), headers=RAW)
    (span,) = collector.spans()
    assert refused.status_code == 422 and refused.headers["traceresponse"].split("-")[1] == span.trace_id.hex()
    told = attributes(span)
    assert told["http.response.status_code"] == 422 and "pileus.queue_s" not in told
    assert span.parent_span_id == b"" and span.status.code == 0
    assert attributes(collector.requests[0].resource_spans[0].resource)["service.name"] == "digits-in-the-hall"


def test_the_client_and_the_sampler_decide_what_is_kept(
    collector: Collector, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with client(bundle_folder) as asking:
        for given in ({}, {"traceparent": "nonsense"}, {"traceparent": f"00-{TRACE}-{PARENT}-00"}):
            answer = asking.post("/v1/predict", content=bytes(784), headers=RAW | given)
            assert answer.status_code == 200 and int(answer.headers["traceresponse"][-2:], 16) & 1 == 0
        kept = asking.post("/v1/predict", content=bytes(784), headers={**RAW, "traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = collector.spans()
    assert kept.headers["traceresponse"] == f"00-{TRACE}-{span.span_id.hex()}-01"


def test_a_collector_that_is_away_costs_no_answer(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with bind("127.0.0.1", 0) as taken:  # nobody accepts there: a try waits until its time is over
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
        with client(bundle_folder) as asking:
            statuses = [asking.post("/v1/predict", content=bytes(784), headers=RAW).status_code for _ in range(40)]
    assert statuses == [200] * 40
    assert "Queue full" in caplog.text


def test_what_the_environment_cannot_mean_is_told(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")  # less than a batch
    with pytest.raises(UsageError, match=r"OTEL_.*queue.*leave it out"), client(bundle_folder):
        pass


def test_without_the_extra_it_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(MissingExtra, match=r"opentelemetry-sdk.*pip install 'pileus\[otel\]'") as caught:
        processes.run("nowhere", OPTIONS, lambda url: None)
    assert caught.value.exit_code == 3
