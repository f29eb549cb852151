"""`pileus evaluate` as a person and as a program see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pileus.bundles import Manifest
from pileus.bundles.manifest import BundleDescription, StoredFile, make_manifest
from pileus.cli.commands import evaluate as command
from pileus.cli.main import main
from pileus.measure.classification import measure_classification
from pileus.operations.evaluate import Evaluation
from pileus.spec.preprocessing import Drawing


def manifest(classes: tuple[str, ...]) -> Manifest:
    description = BundleDescription(name="digits", classes=classes, preprocessing=Drawing())
    return make_manifest(description, {"model.onnx": StoredFile(sha256="", size_bytes=0)})


def evaluation(num_classes: int, name: str = "class") -> Evaluation:
    rng = np.random.default_rng(0)
    labels_N = np.arange(20 * num_classes) % num_classes
    probabilities_NK = rng.dirichlet(np.full(num_classes, 0.3), len(labels_N)).astype(np.float32)
    probabilities_NK[::2] = np.eye(num_classes, dtype=np.float32)[labels_N[::2]]
    classes = tuple(f"{name}{k}" for k in range(num_classes))
    return Evaluation(
        place="run",
        manifest=manifest(classes),
        data="photos/",
        kind="folder",
        fingerprint="ab" * 32,
        split="test",
        num_in_source=1000,
        measured=measure_classification(probabilities_NK, labels_N, classes),
        right_N=probabilities_NK.argmax(axis=1) == labels_N,
        worst=(),
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    """What the command is given to show; tests/unit/operations measures in earnest."""
    made = evaluation(3)
    monkeypatch.setattr(command, "evaluate", lambda *args, **options: made)
    return made


def test_the_document_has_every_figure(measured: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "--data", "photos/", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accuracy"] == measured.measured.accuracy
    assert document["num_samples"] == 60
    assert document["ece"] == measured.measured.ece
    assert document["confusion"] == [list(row) for row in measured.measured.confusion_KK]
    assert [one["name"] for one in document["per_class"]] == document["classes"] == ["class0", "class1", "class2"]
    assert document["per_class"][0]["recall"] == measured.measured.per_class[0].recall
    assert document["version"] == document["model"]["version"] == measured.manifest.short_version
    assert document["data"] == {"source": "photos/", "kind": "folder", "fingerprint": "ab" * 32, "split": "test"}
    assert document["report"] is None


def test_a_person_sees_accuracy_classes_and_confusion(measured: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "--data", "photos/"]) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.split()}
    assert rows["accuracy"][0] == f"{measured.measured.accuracy:.2%}"
    assert "split test: 60 of 1,000 samples" in shown
    one = measured.measured.per_class[2]
    assert f"{one.precision:.2%} {one.recall:.2%} {one.f1:.2%} 20".split() in [
        line.split()[1:] for line in shown.splitlines()
    ]
    matrix = [str(count or "·") for count in measured.measured.confusion_KK[1]]
    assert ["class1", *matrix] in [line.split() for line in shown.splitlines()]


def test_many_classes_are_cut_to_the_weakest_and_the_most_confused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "evaluate", lambda *args, **options: evaluation(60, "[bold]"))
    assert main(["evaluate", "run", "--data", "photos/"]) == 0
    shown = capsys.readouterr().out
    assert "weakest 40 of 60" in shown and "taken for" in shown
    assert "[bold]" in shown, "names are not markup"
    assert len(shown.splitlines()) < 80


def test_the_report_is_written_where_it_was_asked_for(
    measured: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "page.html"
    assert main(["evaluate", "run", "--data", "photos/", "--report", str(page), "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["report"] == str(page)
    assert str(page) in streams.err
    assert "digits on photos/" in page.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], "--data"),
        (["run", "--data", "embedded:digits", "--split", "dev"], "--split"),
        (["run", "--data", "embedded:digits", "--report", "."], "--report is a file"),
        (["nothing", "--data", "embedded:digits"], "no bundle at 'nothing'"),
    ],
)
def test_wrong_usage(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *words]) == 2
    streams = capsys.readouterr()
    assert told in streams.err and streams.out == ""
    assert len(streams.err.splitlines()) <= 2
