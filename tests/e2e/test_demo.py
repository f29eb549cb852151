"""The demo in small: its own recipe with a single epoch. `make demo` runs the whole of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.operations import demo
from tests.e2e.running import assert_told, here

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "one-epoch.toml"
    recipe.write_text(
        'model = "strokes_cnn"\nworkers = 2\n[data]\nsource = "embedded:strokes"\ninput = "drawing"\n'
        '[engine]\nname = "fake"\n[optimizer]\nname = "adamw"\nlr = 3e-3\n'
    )
    monkeypatch.setattr(demo, "RECIPE", str(recipe))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_drawings_of_strangers_are_answered_over_http(capsys: Capture) -> None:
    ended = here(capsys, "demo", "--json", "--runs", "demo-runs")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["state"], result["epochs"], result["workers"]) == ("done", 1, 2)
    served = result["served"]
    assert served["drawings"] > 1000
    assert 0.7 < served["accuracy"] <= 1
    assert 0 < served["p50_ms"] <= served["p99_ms"]
    assert abs(served["accuracy"] - result["accuracy"]) < 0.02
    assert Path("demo-runs", result["run"], "report.html").stat().st_size > 10_000


def test_without_serving_it_prints_what_train_prints(capsys: Capture, tmp_path: Path) -> None:
    """On smaller data, for it is only the print that is looked at."""
    recipe = tmp_path / "one-epoch.toml"
    recipe.write_text(recipe.read_text().replace("strokes", "digits"))
    ended = here(capsys, "demo", "--no-serve", "--quiet", "--json")
    assert (ended.code, ended.err) == (0, "")
    train = here(capsys, "train", recipe, "--quiet", "--json")
    assert json.loads(ended.out).keys() == json.loads(train.out).keys()
    assert json.loads(ended.out)["fingerprint"] == json.loads(train.out)["fingerprint"]


def test_a_taken_port_is_told_before_the_training(taken_port: int, capsys: Capture) -> None:
    assert_told(here(capsys, "demo", "--port", str(taken_port)), 2, str(taken_port), "in use", "--port")
    assert_told(here(capsys, "demo", "--port", "70000"), 2, "70000")
    assert not Path("runs").exists()


def test_the_usual_port_gives_way_where_it_is_taken(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "USUAL_PORT", taken_port)
    assert demo.usable_port(None) == 0
