"""A registry from its first bundle to one that learned from corrections, with real servers and real training."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from pileus.bundles import Calibration, load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.registry import Registry
from pileus.bundles.roles import ROLES_KEY, folder_of
from pileus.operations.train import train
from pileus.serving.server import ServeOptions, running
from pileus.spec.values import canonical_json
from pileus.store import open_store
from tests.e2e.running import here, trial_spec, write_digits
from tests.unit.bundles.nets import SmallNet, describe
from tests.unit.serving.test_processes import RAW, WAIT_S, Ledger, crew

Capture = pytest.CaptureFixture[str]


def bundle_in(folder: Path, sign: float) -> Path:
    net = SmallNet()
    with torch.no_grad():
        net.dense.weight.mul_(sign)
    description = describe(calibration=Calibration(certain=0.9, rejected=0.0))
    write_bundle(open_store(folder), "", export_onnx(net, 28, 28, 1), description)
    return folder


@pytest.mark.service
def test_promotion_rollback_and_a_broken_bundle_fail_no_request_and_a_shadow_is_compared(
    tmp_path: Path, capsys: Capture
) -> None:
    first, second = bundle_in(tmp_path / "first", 1.0), bundle_in(tmp_path / "second", -1.0)
    registry = Registry(str(tmp_path / "registry"))
    assert here(capsys, "registry", "promote", registry.place, first).code == 0
    with crew(Path(registry.place), "--shadow-share", "1") as server:
        with Ledger(server.url, first, second) as ledger:
            assert here(capsys, "registry", "promote", registry.place, second).code == 0
            server.until_version(load(second).version)  # noticed without a signal
            assert here(capsys, "registry", "rollback", registry.place).code == 0
            server.process.send_signal(signal.SIGHUP)
            server.until_version(load(first).version)
            assert here(capsys, "registry", "shadow", registry.place, load(second).version).code == 0
            server.process.send_signal(signal.SIGHUP)
            server.until(lambda: server.metric('pileus_shadow_total{outcome="label"}') >= 20)
            (shadow,) = server.named("pileus-shadow")
            assert shadow.nice() == 19
            roles = [model["role"] for model in httpx.get(f"{server.url}/v1/models", timeout=WAIT_S).json()["models"]]
            assert roles == ["production", "shadow"]
            ledger.more(20)
            broken = registry.add(str(bundle_in(tmp_path / "broken", 0.5))).version
            registry.store.put(f"{folder_of(broken)}/model.onnx", b"broken")
            registry.store.put(ROLES_KEY, canonical_json(registry.roles().promoted(broken)))  # as no command would
            server.process.send_signal(signal.SIGHUP)
            server.until(lambda: server.metric('pileus_swaps_total{outcome="refused"}') >= 1)
            ledger.more(20)
            assert here(capsys, "registry", "rollback", registry.place).code == 0
        server.process.terminate()
        _, errors = server.process.communicate(timeout=WAIT_S)
    assert ledger.faults == [] and len(ledger.versions) == 2
    assert server.process.returncode == 0 and "Traceback" not in errors and "is not taken" in errors
    page = tmp_path / "page.html"
    shown = here(capsys, "registry", "disagreements", registry.place, "--json", "--report", page)
    document = json.loads(shown.out)
    assert document["shown"]["counts"]["label"] >= 20 and document["cases"][0]["outcome"] in ("label", "verdict")
    assert page.read_text(encoding="utf-8").count("data:image/png") == len(document["cases"]) > 0
    assert "answers compared" in here(capsys, "registry", "disagreements", registry.place).out


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("learned") / "records")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("learned-runs"))


@pytest.fixture(scope="module")
def weak(records: Path, runs: str, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Its production has hardly learned anything."""
    spec = trial_spec(records, "engine.name=fake", "epochs=1", "optimizer.lr=1e-6")
    trained = train(spec, runs=runs, name="weak", recipe="trial")
    registry = Registry(str(tmp_path_factory.mktemp("registry")))
    registry.promote(registry.add(trained.bundle).version)
    return registry


@pytest.fixture(scope="module")
def corrections(weak: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Forty answers of a server of production, corrected by those who asked."""
    place = str(tmp_path_factory.mktemp("corrections"))
    numbers = np.random.default_rng(11)
    with running(load(weak.place), ServeOptions(port=0, feedback=place)) as url:
        with httpx.Client(base_url=url, timeout=WAIT_S) as client:
            for number in range(40):
                label = number % 4
                image_HW = numbers.integers(0, 60, (8, 8), dtype=np.uint8)
                image_HW[4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 80
                asked = client.post("/v1/predict", content=image_HW.tobytes(), headers=RAW).json()
                correction = {"request_id": asked["request_id"], "item": 0, "label": "abcd"[label]}
                assert client.post("/v1/feedback", json=correction).status_code == 202
        yield place


def retrained(capsys: Capture, registry: Registry, runs: str, *words: str) -> tuple[int, dict[str, Any]]:
    ended = here(capsys, "retrain", registry.place, "--runs", runs, "--json", *words)
    assert ended.code in (0, 4), ended.err
    return ended.code, json.loads(ended.out)


@pytest.mark.service
def test_corrections_are_a_source_to_look_at_and_to_train_on(corrections: str, runs: str, capsys: Capture) -> None:
    shown = here(capsys, "data", "show", corrections, "--json")
    assert shown.code == 0, shown.err
    document = json.loads(shown.out)
    assert (document["kind"], document["samples"]) == ("feedback", 40)
    settings = [
        word
        for pair in ("epochs=2", "batch_size=8", "microbatch_size=8", "engine.name=fake")
        for word in ("--set", pair)
    ]
    trained = here(
        capsys, "train", "digits_cnn", "--data", corrections, *settings, "--runs", runs, "--name", "corrected", "--json"
    )
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["state"] == "done"


@pytest.mark.service
def test_what_is_better_is_promoted_and_what_is_worse_is_kept(
    weak: Registry, corrections: str, records: Path, runs: str, capsys: Capture
) -> None:
    former = weak.roles().production
    words = ("--feedback", corrections, "--test", str(records))
    settings = ("epochs=12", "batch_size=32", "microbatch_size=8", "engine.name=fake")
    how = ("--recipe", "digits_cnn", "--data", str(records), "--weight", "2")
    code, done = retrained(capsys, weak, runs, *words, *how, *(word for one in settings for word in ("--set", one)))
    assert (code, done["promoted"]) == (0, True) and done["former"] == former, done
    assert weak.roles().production == done["candidate"] != former
    assert done["corrections"] == 40 and 0 < done["held_back"]["samples"] < 20
    assert done["corrections_trained"] + done["held_back"]["samples"] <= 40
    assert done["test"]["errors_after"] < done["test"]["errors_before"] and done["test_samples"] == 32
    spec = load(weak.place).manifest.provenance.spec
    assert spec["data"]["also"] == [corrections] * 2

    better = done["candidate"]
    code, done = retrained(capsys, weak, runs, *words, "--set", "epochs=1", "--set", "optimizer.lr=1e-6")
    assert (code, done["promoted"]) == (4, False)
    assert weak.roles().production == better and done["candidate"] in weak.versions()
    newest = weak.roles().history[0]
    assert (newest.action, newest.version, newest.reason) == ("kept", done["candidate"], done["reason"])
    spec = load(weak.place).manifest.provenance.spec
    assert spec["data"]["also"] == [corrections] * 2 and load(weak.place).name == "trial"


@pytest.mark.service
def test_retraining_that_cannot_be_is_refused_before_it_trains(
    weak: Registry, corrections: str, records: Path, runs: str, tmp_path: Path, capsys: Capture
) -> None:
    for words, told in (
        (("--feedback", str(records), "--test", str(records)), "--feedback is what `pileus serve --feedback` keeps"),
        (("--feedback", corrections, "--test", "embedded:strokes"), "classes of a source must be the model's"),
        (("--feedback", str(tmp_path), "--test", str(records)), "holds no labelled images"),
        (("--feedback", corrections, "--test", str(records), "--set", "epochs=0"), "epochs"),
    ):
        ended = here(capsys, "retrain", weak.place, "--runs", runs, *words)
        assert ended.code == 2 and told in ended.err and "Traceback" not in ended.err
