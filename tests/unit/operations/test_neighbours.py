"""`pileus train knn`: a run, a bundle and an evaluation like any other, though nothing takes a step."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pileus.bundles import load
from pileus.errors import SourceError, SpecError, WorkFailed
from pileus.operations.evaluate import evaluate
from pileus.operations.neighbours import Votes
from pileus.operations.observer import Silent
from pileus.operations.runs import describe_run, find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.recipes.load import load_recipe
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from tests.contracts.tiny import write_folder, write_idx


class Cut(Silent):
    """Raises as it is told that the bundle is being made."""

    def say(self, text: str) -> None:
        if text.startswith("packing"):
            raise SourceError("cut")


def resolved(*pairs: str) -> RunSpec:
    settings = [parse_setting(pair) for pair in ("engine.name=fake", "data.source=embedded:digits", *pairs)]
    return resolve(load_recipe("knn"), settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def result(runs: str) -> TrainResult:
    return train(resolved(), runs=runs, recipe="knn", name="whole")


def test_a_run_chooses_by_validation_and_is_measured_on_the_test_part(result: TrainResult, runs: str) -> None:
    assert result.state == "done" and (result.epochs, result.steps, result.strategy) == (0, 0, "single")
    assert result.accuracy is not None and result.accuracy > 0.97
    store = find_run("whole", runs).store
    votes = msgspec.json.decode(store.get("neighbours.json").content, type=Votes)
    by_k = [votes.accuracy_by_k[str(k)] for k in range(1, 11)]
    assert votes.k == int(np.argmax(by_k)) + 1 and min(by_k) > 0.9 and votes.validation_samples > 100
    assert store.get("neighbours.png").content.startswith(b"\x89PNG")
    page = store.get("report.html").content.decode()
    assert "Neighbours</h2>" in page and 'aria-label="Accuracy by number of neighbours"' in page
    assert evaluate("whole", "embedded:digits", runs=runs).measured.accuracy == result.accuracy


def test_the_bundle_says_what_was_chosen(result: TrainResult) -> None:
    manifest = load(result.bundle).manifest
    assert manifest.provenance.weights == result.fingerprint
    assert 1 <= manifest.provenance.spec["neighbours"]["k"] <= 10
    assert manifest.calibration.temperature != 1.0
    assert {"accuracy", "validation_accuracy", "test_samples"} <= set(manifest.metrics)


def test_the_number_of_workers_changes_nothing(result: TrainResult, runs: str) -> None:
    other = train(resolved("workers=5"), runs=runs)
    assert (other.fingerprint, other.accuracy, other.workers) == (result.fingerprint, result.accuracy, 5)


def test_a_finished_run_is_listed_verified_and_given_back(result: TrainResult, runs: str) -> None:
    directory = find_run("whole", runs)
    line, check = describe_run(directory), verify_run(directory)
    assert (line.state, line.epochs, line.engine, line.workers) == ("done", 0, "fake", 1)
    assert [story.split()[1] for story in line.story] == ["launch", "packing", "done"]
    assert check.faults == () and check.bundle is not None
    assert resume(f"{runs}/whole") == result


def test_a_run_that_failed_is_done_again(result: TrainResult, runs: str) -> None:
    with pytest.raises(WorkFailed, match=r"run cut failed: cut\n.*pileus runs resume"):
        train(resolved(), runs=runs, name="cut", observer=Cut())
    assert describe_run(find_run("cut", runs)).state == "failed"
    assert resume(f"{runs}/cut").fingerprint == result.fingerprint


def test_k_can_be_said_and_then_needs_no_validation_part(runs: str, tmp_path: Path) -> None:
    source = write_idx(tmp_path / "idx")
    pairs = (f"data.source={source}", "data.validation=0", "neighbours.k=3")
    made = train(resolved(*pairs), runs=runs)
    votes = msgspec.json.decode(find_run(made.run, runs).store.get("neighbours.json").content, type=Votes)
    assert (votes.k, votes.validation_samples, votes.accuracy_by_k) == (3, 0, {})
    assert made.validation_accuracy is None and made.accuracy is not None


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (("data.source={idx}", "data.validation=0"), r"chosen by the validation part \(got none.*neighbours\.k=5"),
        (("data.source={idx}", "neighbours.k=50", "neighbours.most=50"), r"50 neighbours and 1 workers need as many"),
        (
            ("data.source={pictures}", "data.size=[200,200]", "neighbours.k=1"),
            r"at most 33,025 values \(got 200x200x3\)",
        ),
    ],
)
def test_records_that_cannot_be_searched_are_refused(
    pairs: tuple[str, ...], told: str, runs: str, tmp_path: Path
) -> None:
    places = {"idx": write_idx(tmp_path / "idx"), "pictures": write_folder(tmp_path / "pictures", per_class=6)}
    with pytest.raises(SourceError, match=told):
        train(resolved(*(pair.format(**places) for pair in pairs)), runs=runs, name="refused")
    assert not (Path(runs) / "refused").exists()


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (("epochs=3", "optimizer.lr=0.1"), "takes no steps, and nothing of it is decided by epochs, optimizer; leave"),
        (("strategy.name=all_reduce",), r"nothing to agree about \(got strategy=all_reduce\); say --strategy single"),
        (("neighbours.k=11",), "neighbours.most=11"),
        (("neighbours.k=51",), "neighbours.k"),
        (("model=mnist_cnn",), r"neighbours are of model knn \(got model=mnist_cnn\)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(pairs: tuple[str, ...], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        resolved(*pairs)
