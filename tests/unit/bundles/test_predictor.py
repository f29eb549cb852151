from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pileus.bundles import Bundle, Calibration
from pileus.bundles.export import export_onnx
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.bundles.predictor import softmax
from pileus.errors import Damaged, UsageError
from pileus.spec.preprocessing import Drawing
from tests.unit.bundles.nets import SmallNet, describe

FILES = {"model.onnx": StoredFile(sha256="", size_bytes=0)}


@pytest.fixture(scope="module")
def bundle(onnx: bytes) -> Bundle:
    return Bundle(make_manifest(describe(), FILES), onnx)


@pytest.fixture(scope="module")
def images_NHWC() -> NDArray[np.uint8]:  # noqa: N802 - names its axes
    return np.random.default_rng(1).integers(0, 256, (150, 28, 28, 1), np.uint8)


def test_an_answer_does_not_depend_on_the_batch_around_it(bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    alone_NK = np.concatenate([bundle.probabilities(images_NHWC[i : i + 1]) for i in range(150)])
    np.testing.assert_allclose(bundle.probabilities(images_NHWC), alone_NK, atol=1e-6)


def test_probabilities_are_probabilities(bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    probabilities_NK = bundle.probabilities(images_NHWC)
    assert probabilities_NK.shape == (150, 10) and probabilities_NK.dtype == np.float32
    np.testing.assert_allclose(probabilities_NK.sum(axis=1), 1.0, atol=1e-5)
    assert bundle.probabilities(images_NHWC[:0]).shape == (0, 10)


def test_temperature_flattens(onnx: bytes, bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    description = describe(calibration=Calibration(temperature=4.0))
    cool_NK = bundle.probabilities(images_NHWC)
    warm_NK = Bundle(make_manifest(description, FILES), onnx).probabilities(images_NHWC)
    expected_NK = cool_NK**0.25
    np.testing.assert_allclose(warm_NK, expected_NK / expected_NK.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(
    ("highest", "verdict", "label"),
    [
        (0.95, "certain", "3"),
        (0.9, "certain", "3"),
        (0.6, "unsure", "3"),
        (0.4, "unsure", "3"),
        (0.39, "rejected", None),
    ],
)
def test_the_verdict_follows_the_thresholds(bundle: Bundle, highest: float, verdict: str, label: str | None) -> None:
    probabilities_K = np.full(10, (1 - highest) / 9, np.float64)
    probabilities_K[3] = highest
    judged = bundle.judge(probabilities_K[None])  # type: ignore[arg-type]  # float64, so that 0.4 is exactly 0.4
    assert (judged.verdicts, judged.labels, judged.confidences) == ([verdict], [label], [highest])
    assert list(judged.probabilities[0]) == list("0123456789")
    assert judged.probabilities[0]["0"] == round((1 - highest) / 9, 6)


@pytest.fixture(scope="module")
def knowing() -> Bundle:
    """One that knows of none of its classes."""
    onnx = export_onnx(SmallNet(classes=11).eval(), 28, 28, 1)
    return Bundle(make_manifest(msgspec.structs.replace(describe(), none="none"), FILES), onnx)


def test_what_a_row_lacks_is_the_probability_of_none(knowing: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    logits_NL, probabilities_NK = knowing.logits(images_NHWC), knowing.probabilities(images_NHWC)
    assert (logits_NL.shape, probabilities_NK.shape) == ((150, 11), (150, 10))
    none_N = softmax(logits_NL, 1.0)[:, 10]
    assert none_N.min() > 0.001
    np.testing.assert_allclose(1 - probabilities_NK.sum(axis=1), none_N, atol=1e-5)
    assert knowing.probabilities(images_NHWC[:0]).shape == (0, 10)


def test_rejection_goes_by_all_classes_together_where_none_is_known(knowing: Bundle, bundle: Bundle) -> None:
    """A doubt between two digits is one between digits; the threshold is 0.4."""
    torn_K = np.array([0.35, 0.35, *[0.0] * 8], np.float32)
    strange_K = np.array([0.35, *[0.0] * 9], np.float32)
    judged = knowing.judge(np.stack([torn_K, strange_K]))
    assert (judged.verdicts, judged.labels) == (["unsure", "rejected"], ["0", None])
    assert bundle.judge(torn_K[None]).verdicts == ["rejected"]


def test_predict_answers_in_order(bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    answers = bundle.predict(images_NHWC)
    best_N = bundle.probabilities(images_NHWC).argmax(axis=1)
    assert [max(answer.probabilities, key=lambda key: answer.probabilities[key]) for answer in answers] == [
        str(best) for best in best_N
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 28, 28, 1), np.float32),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((1, 28, 28), np.uint8),
        np.zeros((1, 28, 28, 3), np.uint8),
        [[0]],
    ],
)
def test_wrong_images_are_told_what_is_asked(bundle: Bundle, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError, match=r"uint8 array of shape \(N, 28, 28, 1\)"):
        bundle.predict(wrong)


def test_a_graph_of_another_model_is_damage(onnx: bytes) -> None:
    with pytest.raises(Damaged, match="does not fit its manifest"):
        Bundle(make_manifest(describe(Drawing(height=8, width=8, box=8.0)), FILES), onnx)
    fewer = msgspec.structs.replace(describe(), classes=("a", "b"))
    with pytest.raises(Damaged, match="does not fit its manifest"):
        Bundle(make_manifest(fewer, FILES), onnx)


def test_what_is_no_graph_is_damage() -> None:
    with pytest.raises(Damaged, match="no graph that ONNX Runtime opens"):
        Bundle(make_manifest(describe(), FILES), b"not a graph")


def test_threads_must_be_positive(onnx: bytes) -> None:
    with pytest.raises(UsageError, match="threads must be 1 or more"):
        Bundle(make_manifest(describe(), FILES), onnx, threads=0)


def test_threads_may_share_a_bundle(bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> None:
    expected_NK = bundle.probabilities(images_NHWC)
    with ThreadPoolExecutor(4) as pool:
        for answer_NK in pool.map(lambda _: bundle.probabilities(images_NHWC), range(12)):
            np.testing.assert_array_equal(answer_NK, expected_NK)


def test_the_runtime_sends_no_usage_data(onnx: bytes, tmp_path: Path) -> None:
    """Its uploader keeps a device id and a queue below the home folder as soon as it is imported."""
    (tmp_path / "model.onnx").write_bytes(onnx)
    program = (
        "import pathlib, sys; from pileus.bundles.predictor import _open_session; "
        "_open_session(pathlib.Path(sys.argv[1]).read_bytes(), 1)"
    )
    folders = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in folders.values():
        Path(folder).mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", program, str(tmp_path / "model.onnx")]
    subprocess.run(command, check=True, timeout=60, env=kept | folders)
    assert [found for folder in folders.values() for found in Path(folder).rglob("*")] == []
