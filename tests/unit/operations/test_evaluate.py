"""A real bundle (a small linear model of scikit-learn's digits) measured on real sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pileus.bundles import BundleDescription, Provenance, write_bundle
from pileus.data.ports import Sample, Split
from pileus.data.sources.digits import open_digits
from pileus.data.splits import settled_split, split_by_hash
from pileus.data.write import WriteOptions, write_records
from pileus.errors import Damaged, SourceError, UsageError
from pileus.operations.evaluate import Evaluation, evaluate, evaluation_report
from pileus.spec.preprocessing import Picture
from pileus.spec.run import Data, RunSpec
from pileus.store import open_store

DIGITS = tuple("0123456789")


def digits() -> list[Sample]:
    source = open_digits()
    return [source[index] for index in range(len(source))]


def images_of(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    samples = [sample for sample in digits() if split_by_hash(sample.id) == split]
    images = [sample.image for sample in samples if isinstance(sample.image, np.ndarray)]
    return np.stack(images), np.array([sample.label for sample in samples])


def linear_model(order: Sequence[int]) -> bytes:
    """The nearest mean of each digit's training images as a graph; `order` gives the digit of each logit."""
    images_NHWC, labels_N = images_of(Split.TRAIN)
    flat_NP = images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) / 255
    means_KP = np.stack([flat_NP[labels_N == digit].mean(axis=0) for digit in order])
    constants = {
        "weights": 2 * means_KP.T.astype(np.float32),
        "bias": -(means_KP**2).sum(axis=1).astype(np.float32),
        "scale": np.array(255, np.float32),
        "shape": np.array([-1, 64], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "scale"], ["units"]),
        helper.make_node("Reshape", ["units", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "nearest_mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pack(folder: Path, order: Sequence[int] = range(10), *, validation: float | None = None) -> str:
    spec = RunSpec(model="digits_cnn", data=Data(source="embedded:digits", validation=validation or 0.0))
    description = BundleDescription(
        name="means",
        classes=tuple(str(digit) for digit in order),
        preprocessing=Picture(height=8, width=8, channels=1),
        provenance=Provenance(run="r", spec={} if validation is None else msgspec.to_builtins(spec), weights="00ff"),
    )
    write_bundle(open_store(folder), "bundle", linear_model(order), description)
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pack(tmp_path_factory.mktemp("runs") / "means")


def draw_folder(folder: Path, *, side: int = 8, splits: Sequence[str] = ("",), names: Sequence[str] = DIGITS) -> Path:
    """Three test digits of each class as PNG, for each split."""
    images_NHWC, labels_N = images_of(Split.TEST)
    for label, name in enumerate(names):
        for number, row in enumerate(np.flatnonzero(labels_N == label)[: 3 * len(splits)]):
            place = folder / splits[number % len(splits)] / name
            place.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(images_NHWC[row, :, :, 0]).resize((side, side), Image.Resampling.NEAREST)
            picture.save(place / f"{number}.png")
    return folder


def test_the_test_part_of_embedded_data(run: str) -> None:
    reports: list[tuple[int, int]] = []
    evaluation = evaluate(run, "embedded:digits", progress=lambda done, total: reports.append((done, total)))
    images_NHWC, labels_N = images_of(Split.TEST)
    means_KP = np.stack([part.mean(axis=0) for part in by_digit()])
    flat_NP = images_NHWC.reshape(-1, 64) / 255
    nearest_N = ((flat_NP[:, None] - means_KP) ** 2).sum(axis=2).argmin(axis=1)
    assert evaluation.measured.num_samples == len(labels_N) == 356
    assert evaluation.measured.accuracy == pytest.approx((nearest_N == labels_N).mean())
    assert evaluation.measured.accuracy > 0.85
    assert (evaluation.kind, evaluation.split, evaluation.num_in_source) == ("embedded:digits", "test", 1797)
    assert evaluation.fingerprint == open_digits().fingerprint
    assert reports == [(256, 356), (356, 356)]


def by_digit() -> list[NDArray[np.float64]]:
    images_NHWC, labels_N = images_of(Split.TRAIN)
    return [images_NHWC[labels_N == digit].reshape(-1, 64) / 255 for digit in range(10)]


def test_the_worst_errors_are_errors_with_their_own_pictures(run: str) -> None:
    worst = evaluate(run, "embedded:digits").worst
    by_id = {sample.id: sample for sample in digits()}
    assert 0 < len(worst) <= 40
    assert [error.confidence for error in worst] == sorted((error.confidence for error in worst), reverse=True)
    for error in worst:
        assert error.truth == str(by_id[error.id].label) != error.predicted
        np.testing.assert_array_equal(error.image_HWC, by_id[error.id].image)


def test_splits_part_the_source(run: str) -> None:
    counts = {split: count(run, "embedded:digits", split) for split in ("train", "validation", "test", "all")}
    assert counts["all"] == counts["train"] + counts["validation"] + counts["test"] == 1797


def count(place: str, data: str, split: str) -> int:
    return evaluate(place, data, split=split).measured.num_samples  # type: ignore[arg-type]  # of the literals


def test_what_training_held_back_is_validation_here_too(tmp_path: Path) -> None:
    place = pack(tmp_path / "run", validation=0.5)
    folder = draw_folder(tmp_path / "pictures", splits=("train", "test"))
    held = [
        path
        for path in (folder / "train").rglob("*.png")
        if settled_split(Split.TRAIN, path.relative_to(folder).as_posix(), 0.5) == Split.VALIDATION
    ]
    assert 0 < len(held) < 30
    counts = {split: count(place, str(folder), split) for split in ("train", "validation", "test")}
    assert counts == {"train": 30 - len(held), "validation": len(held), "test": 30}


def test_a_validation_part_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    place = pack(tmp_path / "run", validation=0.5)
    folder = draw_folder(tmp_path / "pictures", splits=("train", "validation"))
    assert (count(place, str(folder), "train"), count(place, str(folder), "validation")) == (30, 30)


def test_records_and_what_they_were_written_from_measure_alike(run: str, tmp_path: Path) -> None:
    write_records(open_digits(), str(tmp_path), options=WriteOptions())
    from_records = evaluate(run, str(tmp_path))
    assert from_records.kind == "records"
    assert from_records.measured == evaluate(run, "embedded:digits").measured


def test_classes_may_stand_in_another_order(run: str, tmp_path: Path) -> None:
    backwards = evaluate(pack(tmp_path, range(9, -1, -1)), "embedded:digits")
    forwards = evaluate(run, "embedded:digits")
    assert backwards.measured.classes == forwards.measured.classes[::-1]
    assert backwards.measured.accuracy == forwards.measured.accuracy
    np.testing.assert_array_equal(np.array(backwards.measured.confusion_KK)[::-1, ::-1], forwards.measured.confusion_KK)


def test_pictures_of_another_size_come_by_the_models_preprocessing(run: str, tmp_path: Path) -> None:
    small = evaluate(run, str(draw_folder(tmp_path / "small")), split="all")
    large = evaluate(run, str(draw_folder(tmp_path / "large", side=64)), split="all")
    assert small.measured.num_samples == large.measured.num_samples == 30
    assert small.measured.accuracy > 0.7 and large.measured.accuracy > 0.7


def test_raw_images_of_another_size_come_by_the_models_preprocessing(run: str, tmp_path: Path) -> None:
    write_records(open_digits(), str(tmp_path), options=WriteOptions(resize=(24, 24), channels=3))
    large = evaluate(run, str(tmp_path)).measured
    assert large.num_samples == 356
    assert large.accuracy == pytest.approx(evaluate(run, "embedded:digits").measured.accuracy, abs=0.03)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("zero", *DIGITS[1:]), "has 'zero' and lacks '0'"),
        (DIGITS[:3], "lacks '3', '4', '5', '6', '7' and 2 more"),
        ((*DIGITS[:9], "9", "x"), "has 'x'"),
    ],
)
def test_other_classes_are_named(run: str, tmp_path: Path, names: Sequence[str], told: str) -> None:
    folder = draw_folder(tmp_path, names=names[:10])
    if len(names) > 10:
        shutil.copytree(folder / "0", folder / names[10])
    with pytest.raises(SourceError, match=told):
        evaluate(run, str(folder))


def test_an_empty_split_is_told(run: str, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path, splits=("train",))
    with pytest.raises(SourceError, match=r"no sample in split 'test' \(it has 30 in all\); choose --split all"):
        evaluate(run, str(folder))


def test_a_damaged_picture_is_named(run: str, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path)
    bad = folder / "3" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(SourceError, match=r"3/1\.png"):
        evaluate(run, str(folder), split="all")


def test_a_run_is_found_by_its_name(run: str) -> None:
    runs, _, name = run.rpartition("/")
    evaluation = evaluate(name, "embedded:digits", runs=runs)
    assert evaluation.measured.num_samples == 356
    assert evaluation.place == run, "so that the commands of its report find it"


@pytest.mark.parametrize(
    ("place", "told"),
    [("nothing", "no bundle at 'nothing' and no finished run of that name in"), ("a/b", "no bundle at file:.*a/b")],
)
def test_a_place_without_a_bundle_is_told(place: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        evaluate(place, "embedded:digits", runs=str(tmp_path))


def test_a_changed_bundle_is_not_measured(run: str, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    model = tmp_path / "run" / "bundle" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[100] ^= 1
    model.write_bytes(content)
    with pytest.raises(Damaged, match=r"model\.onnx was changed"):
        evaluate(str(tmp_path / "run"), "embedded:digits")


def test_the_report_says_what_was_measured_on_what(tmp_path: Path) -> None:
    place = pack(tmp_path / "of a run", validation=0.0)
    evaluation = evaluate(place, "embedded:digits")
    page = evaluation_report(evaluation)
    for told in facts(evaluation):
        assert told in page
    assert "<dt>trained on</dt><dd>embedded:digits</dd>" in page
    assert f"pileus serve &#39;{place}&#39;" in page, "the command can be pasted"
    assert "<h2>Story</h2>" not in page


def test_a_bundle_that_no_run_made_has_a_report_too(run: str) -> None:
    evaluation = evaluate(run, "embedded:digits")
    page = evaluation_report(evaluation)
    assert all(told in page for told in facts(evaluation))
    assert "trained on" not in page and "<h2>Settings</h2>" not in page


def facts(evaluation: Evaluation) -> list[str]:
    return [
        "means on embedded:digits",
        "split test: 356 of 1,797 samples",
        evaluation.fingerprint,
        evaluation.manifest.version,
        "00ff",
    ]


def test_measuring_loads_no_torch(run: str) -> None:
    code = (
        "import sys; from pileus.operations.evaluate import evaluate; evaluate(sys.argv[1], 'embedded:digits');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, run], timeout=60).returncode == 0
