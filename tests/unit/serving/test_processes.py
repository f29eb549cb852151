"""Supervisor, fronts and predictors: real processes, killed, stopped, swapped and restarted while requests go on.

A ledger holds that every request has exactly one answer, the one that the model gives offline. Faults come at
coordinates: after so many answers, or once a process has been seen; no test waits by the clock.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from pileus.bundles import Calibration, load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe
from tests.unit.serving.exposition import Samples, assert_no_counter_goes_back, samples_of

WAIT_S = 30
_LOOK_S = 0.01
RAW = {"Content-Type": "application/octet-stream"}


class Crew:
    """A server as its users start it, and its processes by their names."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self._told: Samples = {}

    def named(self, name: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.name() == name:
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def fronts(self) -> list[psutil.Process]:
        return self.named("pileus-front")

    def predictors(self) -> list[psutil.Process]:
        return self.named("pileus-predict")

    def until(self, come: Callable[[], bool]) -> None:
        while not come():
            self.lives()

    def lives(self) -> None:
        """It does, also a moment later: who looks again and again leaves the cores to those that are waited for."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {self.process.wait(_LOOK_S)}")

    def metric(self, sample: str) -> float:
        """0 where it is not told. All that is told is well-formed, and no counter goes back, whatever befalls."""
        told = samples_of(httpx.get(f"{self.url}/metrics", timeout=WAIT_S).text)
        assert_no_counter_goes_back(self._told, told)
        self._told = told
        return told.get(sample, 0.0)

    def until_version(self, wanted: str) -> None:
        """Until the model of this version answers."""
        self.until(lambda: httpx.get(f"{self.url}/v1/models", timeout=WAIT_S).json()["models"][0]["version"] == wanted)

    def until_another_front(self, than: list[psutil.Process]) -> psutil.Process:
        while True:
            for front in self.fronts():
                if front not in than:
                    return front
            self.lives()


@contextmanager
def crew(bundle_folder: Path, *options: str) -> Iterator[Crew]:
    command = [sys.executable, "-m", "pileus", "serve", str(bundle_folder), "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Crew(process, json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"])
        finally:
            left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            for child in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(left, timeout=WAIT_S)


class Ledger:
    """Clients that ask one question after another over kept connections, and compare each answer."""

    def __init__(self, url: str, *folders: Path, clients: int = 4) -> None:
        self._address = urlsplit(url).netloc
        self._images_NHWC = np.random.default_rng(2).integers(0, 256, (16, 28, 28, 1), np.uint8)
        bundles = [load(folder) for folder in folders]
        self._expected = {bundle.version: bundle.predict(self._images_NHWC) for bundle in bundles}
        self.faults: list[str] = []
        self.answers = 0
        self.versions: set[str] = set()
        self._stop = threading.Event()
        self._counted = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, name=f"client-{each}") for each in range(clients)]

    def __enter__(self) -> Ledger:
        for thread in self._threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def more(self, count: int) -> None:
        """Until so many more have been answered."""
        with self._counted:
            goal = self.answers + count
            assert self._counted.wait_for(lambda: self.answers >= goal or bool(self.faults), WAIT_S), "no answers"

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=WAIT_S)
        number = 0
        while not self._stop.is_set():
            number = (number + 1) % len(self._images_NHWC)
            try:
                connection.request("POST", "/v1/predict", self._images_NHWC[number].tobytes(), RAW)
                response = connection.getresponse()
                fault = self._checked(number, response.status, response.read())
            except (OSError, http.client.HTTPException) as error:
                fault = repr(error)
                connection.close()
            with self._counted:
                self.answers += 1
                if fault:
                    self.faults.append(fault)
                self._counted.notify_all()
        connection.close()

    def _checked(self, number: int, status: int, body: bytes) -> str:
        if status != 200:
            return f"{status} {body!r}"
        document = json.loads(body)
        version = document["model"]["version"]
        self.versions.add(version)
        probabilities = list(document["items"][0]["probabilities"].values())
        expected = list(self._expected[version][number].probabilities.values())
        return "" if np.allclose(probabilities, expected, atol=1e-5) else f"another answer than offline: {document}"


@pytest.fixture
def other_folder(tmp_path: Path) -> Path:
    """A bundle that answers otherwise."""
    folder = tmp_path / "other"
    description = describe(calibration=Calibration(temperature=3.0))
    write_bundle(open_store(folder), "", export_onnx(SmallNet(), 28, 28, 1), description)
    return folder


def test_a_killed_predictor_costs_no_answer(bundle_folder: Path) -> None:
    with crew(bundle_folder, "--processes", "2") as server, Ledger(server.url, bundle_folder) as ledger:
        before = server.predictors()
        for victim in before:
            ledger.more(50)
            victim.kill()
        server.until(lambda: server.metric("pileus_predictors") == 2 and not set(before) & set(server.predictors()))
        ledger.more(50)
        assert server.metric('pileus_predictors_lost_total{cause="died"}') == 2
        assert len(server.fronts()) == 1
    assert ledger.faults == []


def test_a_stopped_predictor_costs_no_answer(bundle_folder: Path) -> None:
    with crew(bundle_folder, "--processes", "2") as server, Ledger(server.url, bundle_folder) as ledger:
        stopped = server.predictors()[0]
        stopped.suspend()
        server.until(lambda: server.metric('pileus_predictors_lost_total{cause="silent"}') == 1)
        server.until(lambda: not stopped.is_running())
        server.until(lambda: server.metric("pileus_predictors") == 2)
        ledger.more(50)
    assert ledger.faults == []


def test_a_change_of_model_costs_no_answer(bundle_folder: Path, other_folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    shutil.copytree(bundle_folder, place)
    with crew(place) as server, Ledger(server.url, bundle_folder, other_folder) as ledger:
        for folder in (other_folder, bundle_folder):
            shutil.rmtree(place)
            shutil.copytree(folder, place)
            server.process.send_signal(signal.SIGHUP)
            server.until_version(load(folder).version)
            ledger.more(50)
            assert server.metric(f'pileus_model_fronts{{version="{load(folder).version}"}}') == 1
        assert server.metric('pileus_swaps_total{outcome="done"}') == 2
    assert ledger.faults == [] and len(ledger.versions) == 2


def test_a_body_that_comes_after_a_change_of_model_is_answered(
    bundle_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    """By the new model, and before its deadline; a request that asks for the former is told that it has gone."""
    place = tmp_path / "place"
    shutil.copytree(bundle_folder, place)
    pinned = f"/v1/predict?model={load(place).manifest.name}@{load(place).manifest.short_version}"
    with crew(place) as server:
        asked = [http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=WAIT_S) for _ in range(2)]
        for connection, path in zip(asked, ["/v1/predict", pinned], strict=True):
            connection.putrequest("POST", path)
            connection.putheader("Content-Type", RAW["Content-Type"])
            connection.putheader("Content-Length", "784")
            connection.endheaders()
        shutil.rmtree(place)
        shutil.copytree(other_folder, place)
        server.process.send_signal(signal.SIGHUP)
        server.until_version(load(other_folder).version)
        server.until(lambda: server.metric("pileus_predictors") == len(server.predictors()))  # the former's have left
        for connection in asked:
            connection.send(bytes(784))
        answer, refusal = (connection.getresponse() for connection in asked)
        assert json.load(answer)["model"]["version"] == load(other_folder).version
        assert refusal.status == 404 and b"there is no model" in refusal.read()
        for connection in asked:
            connection.close()


@pytest.mark.parametrize("damage", ["manifest.json", "model.onnx"])
def test_a_bundle_that_cannot_be_loaded_leaves_the_former(bundle_folder: Path, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "place"
    shutil.copytree(bundle_folder, place)
    with crew(place) as server:
        with Ledger(server.url, bundle_folder) as ledger:
            (place / damage).write_bytes(b"broken")
            server.process.send_signal(signal.SIGHUP)
            server.until(lambda: server.metric('pileus_swaps_total{outcome="refused"}') == 1)
            ledger.more(20)
        server.process.terminate()
        _, errors = server.process.communicate(timeout=WAIT_S)
        assert "is not taken; the former goes on serving" in errors and damage in errors and "Traceback" not in errors
    assert ledger.faults == []


def test_a_rolling_restart_costs_no_answer(bundle_folder: Path) -> None:
    with crew(bundle_folder, "--processes", "3") as server, Ledger(server.url, bundle_folder) as ledger:
        before = server.fronts()
        assert len(before) == 2
        counted = server.metric('pileus_requests_total{route="/v1/predict",status="200"}')
        server.process.send_signal(signal.SIGUSR2)
        while len(server.fronts()) != 2 or set(before) & set(server.fronts()):
            assert httpx.get(f"{server.url}/readyz", timeout=WAIT_S).status_code == 200
        ledger.more(50)
        assert server.metric('pileus_requests_total{route="/v1/predict",status="200"}') >= counted + 50
        assert server.metric("pileus_ready") == 2 and server.metric("pileus_fronts_lost_total") == 0
    assert ledger.faults == []


def test_a_dead_front_is_replaced_and_what_it_counted_stays(bundle_folder: Path) -> None:
    with crew(bundle_folder) as server:
        assert httpx.get(f"{server.url}/readyz", timeout=WAIT_S).status_code == 200
        (front,) = server.fronts()
        orphans = server.predictors()
        front.kill()
        assert (
            httpx.post(f"{server.url}/v1/predict", content=bytes(784), headers=RAW, timeout=WAIT_S).status_code == 200
        )
        assert server.fronts() != [front]
        server.until(lambda: server.metric("pileus_ready") == 1)
        assert server.metric('pileus_requests_total{route="/readyz",status="200"}') == 1
        assert server.metric("pileus_fronts_lost_total") == 1
        assert psutil.wait_procs(orphans, timeout=WAIT_S)[1] == []


def test_all_stop_together(bundle_folder: Path) -> None:
    with crew(bundle_folder, "--processes", "3") as server:
        everyone = psutil.Process(server.process.pid).children(recursive=True)
        assert len(server.fronts()) == 2 and len(server.predictors()) == 4
        server.predictors()[0].suspend()
        server.process.terminate()
        _, errors = server.process.communicate(timeout=WAIT_S)
        assert server.process.returncode == 0 and "Traceback" not in errors
        assert psutil.wait_procs(everyone, timeout=WAIT_S)[1] == []


def test_none_outlives_a_killed_supervisor(bundle_folder: Path) -> None:
    with crew(bundle_folder) as server:
        everyone = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        assert psutil.wait_procs(everyone, timeout=WAIT_S)[1] == []


def test_one_that_dies_again_and_again_ends_the_whole(bundle_folder: Path) -> None:
    with crew(bundle_folder, "--processes", "1") as server:
        seen: list[psutil.Process] = []
        for _ in range(6):
            seen.append(server.until_another_front(seen))
            seen[-1].kill()
        _, errors = server.process.communicate(timeout=WAIT_S)
        assert server.process.returncode == 1 and "died 6 times within 60 s" in errors


def test_what_stops_one_from_starting_stops_all_with_its_own_message(bundle_folder: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "manifest.json"):
        (tmp_path / name).write_bytes((bundle_folder / name).read_bytes()[:-1])
    command = [sys.executable, "-m", "pileus", "serve", str(tmp_path), "--port", "0", "--processes", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 1 and "manifest.json" in ended.stderr and "Traceback" not in ended.stderr


def test_no_torch_is_mapped_anywhere(bundle_folder: Path) -> None:
    with crew(bundle_folder) as server:
        httpx.post(f"{server.url}/v1/predict", content=bytes(784), headers=RAW, timeout=WAIT_S).raise_for_status()
        for each in [psutil.Process(server.process.pid), *server.fronts(), *server.predictors()]:
            assert not [found.path for found in each.memory_maps() if "torch" in found.path]


@pytest.fixture(autouse=True)
def _only_on_linux() -> None:
    if sys.platform != "linux":
        pytest.skip("names and descriptors of processes are those of Linux")


def test_a_correction_reaches_the_front_that_answered(bundle_folder: Path, tmp_path: Path) -> None:
    """Each new connection is one of the fronts'; together they have come to both."""
    with crew(bundle_folder, "--processes", "4", "--feedback", str(tmp_path / "kept")) as server:
        assert len(server.fronts()) == 2
        answer = httpx.post(f"{server.url}/v1/predict", content=bytes(784), headers=RAW, timeout=WAIT_S)
        correction = {"request_id": answer.json()["request_id"], "item": 0, "label": "7"}
        for _ in range(12):
            kept = httpx.post(f"{server.url}/v1/feedback", json=correction, timeout=WAIT_S)
            assert kept.status_code == 202
        unknown = httpx.post(f"{server.url}/v1/feedback", json={**correction, "request_id": "none"}, timeout=WAIT_S)
        assert unknown.status_code == 404
    assert len(list((tmp_path / "kept" / "corrections").iterdir())) == 1
