"""The process around the application: its socket, its bounds, its signals, what it imports."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from pileus.bundles import load
from pileus.errors import UsageError, WorkFailed
from pileus.machine import count_cores
from pileus.serving import server as server_module
from pileus.serving.addresses import bind, is_loopback, url_of
from pileus.serving.server import ServeOptions, Server, running
from tests.unit.serving.conftest import GatedBundle
from tests.unit.serving.sockets import LIVE, Answers, connected, everything, posted

ANY_PORT = ServeOptions(port=0)
BARRED = ("torch", "onnx", "sklearn", "pileus.training", "opentelemetry")
"""No server imports them, unless traces are asked for."""
SEVEN = {"strokes": [[[10, 10], [90, 12], [40, 95]]]}


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} of 127\.0\.0\.1: it is in use.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [("127.0.0.1", -1, "--port"), ("127.0.0.1", 65536, "--port"), ("no.such.host.invalid", 0, "--host")],
)
def test_impossible_addresses(host: str, port: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        bind(host, port)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UsageError, match=r"no such address.*--host"):
        bind("192.0.2.1", 0)


def test_urls() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert url_of(listener, "::1") == f"http://[::1]:{port}"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_who_can_reach_it(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_beyond_loopback_a_key_is_required(host: str) -> None:
    with pytest.raises(UsageError, match="PILEUS_API_KEY"):
        ServeOptions(host=host)
    with pytest.raises(UsageError, match="PILEUS_API_KEY"):
        ServeOptions(host=host, api_key="")
    assert ServeOptions(host=host, api_key="k").asked_key == "k"
    assert ServeOptions(host=host, api_key="k", allow_anonymous=True).asked_key is None


def test_processes_must_be_positive() -> None:
    with pytest.raises(UsageError, match="processes must be 1 or more"):
        ServeOptions(processes=0)


@pytest.mark.parametrize(
    ("processes", "fronts", "predictors"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 3, 2), (16, 8, 2)]
)
def test_a_front_for_every_two_predictors(processes: int, fronts: int, predictors: int) -> None:
    options = ServeOptions(processes=processes)
    assert (options.num_fronts, options.predictors_a_front) == (fronts, predictors)


def test_as_many_predictors_as_cores() -> None:
    assert ServeOptions().num_predictors == count_cores().usable


def test_what_was_begun_is_answered_before_the_end(gated: GatedBundle) -> None:
    server = Server(gated, ANY_PORT, bind("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve)
    thread.start()
    assert server.ready.wait(20)
    gated.gate.clear()
    gated.entered.clear()
    with httpx.Client(base_url=server.url, timeout=20) as client, httpx.Client(base_url=server.url) as other:
        assert other.get("/readyz").status_code == 200
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(client.post("/v1/predict", json=SEVEN).status_code))
        asking.start()
        assert gated.entered.wait(20)
        server.stop()
        gated.gate.set()
        asking.join(20)
        assert answers == [200]
    thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        connected(server.url)


def test_a_model_that_fails_its_first_batch_is_told(gated: GatedBundle) -> None:
    gated.failure = MemoryError("no room")
    with pytest.raises(WorkFailed, match="cannot answer: no room"), running(gated, ANY_PORT):
        pass


def test_the_server_imports_no_torch(bundle_folder: Path) -> None:
    program = f"""
import sys, httpx
from pileus.bundles import load
from pileus.cli.commands import predict, serve
from pileus.serving.server import ServeOptions, running
with running(load({str(bundle_folder)!r}), ServeOptions(port=0)) as url:
    assert httpx.post(url + "/v1/predict", json={SEVEN!r}).status_code == 200
found = [name for name in sys.modules if name.partition(".")[0] in {BARRED}]
sys.exit(str(found) if found else 0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return re.sub(r"\s", "", "".join(iter(process.stdout.readline, "}\n")))


@pytest.mark.parametrize(("signal_name", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_the_command_tells_its_address_and_stops_at_a_signal(bundle_folder: Path, signal_name: str, code: int) -> None:
    command = [sys.executable, "-m", "pileus", "serve", str(bundle_folder), "--port", "0", "--json", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = json.loads(_line(process) + "}")["url"]
        assert httpx.get(f"{url}/readyz").status_code == 200
        start = time.monotonic()
        process.send_signal(getattr(signal, signal_name))
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (code, "", "")
        assert time.monotonic() - start < 5


def test_the_standard_loop_does_as_well(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvloop is not installed."""
    monkeypatch.setattr(server_module, "new_event_loop", asyncio.new_event_loop)
    with running(load(bundle_folder), ANY_PORT) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert [client.post("/v1/predict", json=SEVEN).status_code for _ in range(3)] == [200] * 3
        assert client.post("/v1/predict", content=bytes(1 << 20)).status_code == 415


def test_requests_are_logged_where_that_is_asked_for(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ServeOptions(port=0, log_requests=True)
    with running(load(bundle_folder), options) as url, httpx.Client(base_url=url, timeout=20) as client:
        client.post("/v1/predict", json=SEVEN, headers={"X-Request-Id": "mine-1"})
        client.get("/nothing?secret=1")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    always = {"time", "request_id", "method", "path", "status", "ms"}
    assert set(first) == always | {"model", "queue_ms", "batch", "compute_ms", "predictor"}
    assert set(second) == always
    assert 0 < first["compute_ms"] < first["ms"] and first["batch"] == 1 and first["predictor"] == os.getpid()
    assert first["model"] == load(bundle_folder).version
    assert (first["request_id"], first["status"], first["path"]) == ("mine-1", 200, "/v1/predict")
    assert (second["method"], second["status"], second["path"]) == ("GET", 404, "/nothing")


def test_while_it_has_grace_it_is_not_ready_and_answers(bundle_folder: Path) -> None:
    server = Server(load(bundle_folder), ServeOptions(port=0, grace_s=30), bind("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve)
    thread.start()
    assert server.ready.wait(20)
    server.stop()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        while client.get("/readyz").status_code == 200:
            pass
        assert "draining" in client.get("/readyz").json()["detail"]
        answer = client.post("/v1/predict", json=SEVEN)
        assert answer.status_code == 200 and "connection" not in answer.headers
    server.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_who_is_connected_is_told_to_leave(gated: GatedBundle) -> None:
    server = Server(gated, ANY_PORT, bind("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve)
    thread.start()
    assert server.ready.wait(20)
    gated.gate.clear()
    gated.entered.clear()
    with connected(server.url) as busy, connected(server.url) as idle:
        idle.sendall(LIVE)
        Answers().read(idle, 1)
        busy.sendall(posted(bytes(784)))
        assert gated.entered.wait(20)
        server.stop()
        assert idle.recv(65536) == b""
        gated.gate.set()
        answers = Answers().feed(everything(busy))
    assert answers.statuses == [200] and answers.headers[0][b"connection"] == b"close"
    thread.join(20)
    assert not thread.is_alive()
