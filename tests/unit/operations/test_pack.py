"""What a run's bundle knows besides its weights: of none of the classes, and how sure it has to be."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pileus.bundles import Bundle, load
from pileus.data.ports import Split
from pileus.data.sources.digits import open_digits
from pileus.data.splits import split_by_hash
from pileus.measure.calibration import LEAST_CERTAIN, MOST_REJECTED
from pileus.operations.evaluate import evaluate
from pileus.operations.train import TrainResult, train
from pileus.recipes.load import load_recipe
from pileus.spec.resolve import parse_setting, resolve

NINE = ('data.none="9"', "epochs=6")
"""Nines are no digits for this model, and it knows what they look like."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    settings = [parse_setting(pair) for pair in ("engine.name=fake", "workers=1", *NINE)]
    return train(resolve(load_recipe("digits_cnn"), settings), runs=str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def bundle(result: TrainResult) -> Bundle:
    return load(result.bundle)


def test_what_is_none_is_no_class_of_the_bundle(bundle: Bundle) -> None:
    assert bundle.classes == tuple("012345678")
    assert bundle.manifest.none == "9"


def test_accuracy_is_of_the_classes_alone(result: TrainResult, bundle: Bundle) -> None:
    source = open_digits()
    rows = [source.row(index) for index in range(len(source))]
    tested = [row for row in rows if row.label != 9 and split_by_hash(row.id) == Split.TEST]
    assert bundle.manifest.metrics["test_samples"] == len(tested)
    assert result.accuracy is not None
    assert result.accuracy > 0.9


def test_thresholds_are_fitted_on_the_validation_part(bundle: Bundle) -> None:
    calibration, metrics = bundle.manifest.calibration, bundle.manifest.metrics
    assert 0.0 < calibration.rejected <= calibration.certain
    assert calibration.certain >= LEAST_CERTAIN
    assert metrics["validation_false_rejects"] <= MOST_REJECTED
    assert metrics["validation_none_rejected"] > 0.7


def test_evaluation_tells_what_is_rejected(result: TrainResult, bundle: Bundle) -> None:
    evaluation = evaluate(result.uri, "embedded:digits")
    assert evaluation.measured.accuracy == pytest.approx(result.accuracy)
    assert evaluation.rejection is not None
    source = open_digits()
    nines = [
        image
        for image, label, name, _ in (source[index] for index in range(len(source)))
        if label == 9 and split_by_hash(name) == Split.TEST and isinstance(image, np.ndarray)
    ]
    verdicts = [answer.verdict for answer in bundle.predict(np.stack(nines))]
    assert evaluation.rejection.num_none == len(nines)
    assert evaluation.rejection.none_rejected == verdicts.count("rejected") / len(nines)
    assert evaluation.rejection.none_rejected > 0.7
    assert evaluation.rejection.false_rejects < 0.1


def test_the_spec_of_the_bundle_names_it(bundle: Bundle) -> None:
    assert msgspec.to_builtins(bundle.manifest.provenance.spec)["data"]["none"] == "9"
