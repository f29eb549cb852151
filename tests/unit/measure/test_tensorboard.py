"""The event files as TensorBoard's own reader finds them."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from pileus.bundles.export import export_onnx
from pileus.errors import MissingExtra
from pileus.measure.classification import measure_classification
from pileus.measure.tensorboard import RESULT_KEY, Outcome, epoch_events, epoch_key, result_events
from pileus.measure.worst import WorstError
from pileus.spec.job import EpochDone
from pileus.spec.optimizer import Sgd
from pileus.spec.run import Data, RunSpec
from tests.unit.bundles.nets import SmallNet
from tests.unit.measure.test_figures import epochs

TIME_S = 1_790_000_000.25
SPEC = RunSpec(model="digits_cnn", data=Data(source="embedded:digits"), optimizer=Sgd(lr=0.125), workers=2)
CLASSES = tuple("0123456789")


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def written(folder: Path, **files: bytes) -> EventAccumulator:
    for key, content in files.items():
        (folder / key.rpartition("/")[2]).write_bytes(content)
    return read(folder)


def outcome(done: list[EpochDone], *, is_tested: bool = True) -> Outcome:
    rng = np.random.default_rng(5)
    probabilities_NK = rng.dirichlet(np.full(10, 0.3), 40).astype(np.float32)
    test = measure_classification(probabilities_NK, np.arange(40) % 10, CLASSES)
    grey, coloured = rng.integers(0, 256, (28, 20, 1), np.uint8), rng.integers(0, 256, (9, 28, 3), np.uint8)
    worst = [
        WorstError(image_HWC=image, id=str(k), truth="a very long name of a class", predicted="数", confidence=0.9)
        for k, image in enumerate([grey, coloured] * 5)
    ]
    onnx = export_onnx(SmallNet(), 28, 28, 1)
    return Outcome(SPEC, done, test if is_tested else None, worst if is_tested else (), {"training": 4.5}, onnx)


def test_scalars_of_each_epoch_at_its_global_step(tmp_path: Path) -> None:
    done = epochs(3)
    files = {
        epoch_key(one.epoch): epoch_events(one, before, TIME_S + one.epoch)
        for before, one in zip([None, *done], done, strict=False)
    }
    found = written(tmp_path, **files)
    for tag, values in {
        "loss/train": [one.train_loss for one in done],
        "loss/validation": [one.validation_loss for one in done],
        "accuracy/train": [one.train_accuracy for one in done],
        "accuracy/validation": [one.validation_accuracy for one in done],
        "lr": [one.lr for one in done],
        "epoch": [1, 2, 3],
        "speed/samples_per_s": [640 / 1.5] * 3,
        "epoch_s/compute": [1.0] * 3,
    }.items():
        scalars = found.Scalars(tag)
        assert [scalar.value for scalar in scalars] == pytest.approx(values), tag
        assert [(scalar.step, scalar.wall_time) for scalar in scalars] == [
            (10, TIME_S),
            (20, TIME_S + 1),
            (30, TIME_S + 2),
        ]


def test_what_an_epoch_has_not_is_left_out(tmp_path: Path) -> None:
    (done,) = epochs(1, validation=False)
    done = msgspec.structs.replace(done, seconds=0.0, train_loss=math.nan)
    tags = written(tmp_path, **{epoch_key(0): epoch_events(done, None, TIME_S)}).Tags()["scalars"]
    assert {"accuracy/train", "lr"} <= set(tags)
    assert not {"loss/train", "loss/validation", "accuracy/validation", "speed/samples_per_s"} & set(tags)


def test_the_same_epoch_gives_the_same_bytes() -> None:
    (done,) = epochs(1)
    assert epoch_events(done, None, TIME_S) == epoch_events(done, None, TIME_S)


def test_a_run_that_is_watched_grows_file_by_file(tmp_path: Path) -> None:
    first, second = epochs(2)
    found = written(tmp_path, **{epoch_key(0): epoch_events(first, None, TIME_S)})
    assert len(found.Scalars("loss/train")) == 1
    (tmp_path / epoch_key(1).rpartition("/")[2]).write_bytes(epoch_events(second, first, TIME_S))
    (tmp_path / RESULT_KEY.rpartition("/")[2]).write_bytes(result_events(outcome([first, second]), TIME_S))
    found.Reload()
    assert len(found.Scalars("loss/train")) == 2
    assert len(found.Scalars("accuracy/test")) == 1


def test_the_result_has_the_test_and_pictures(tmp_path: Path) -> None:
    given = outcome(epochs(2))
    found = written(tmp_path, **{RESULT_KEY: result_events(given, TIME_S)})
    assert given.test is not None
    (accuracy,) = found.Scalars("accuracy/test")
    assert (accuracy.step, accuracy.value) == (20, pytest.approx(given.test.accuracy))
    assert found.Scalars("run_s/training")[0].value == 4.5
    assert set(found.Tags()["images"]) == {"test/confusion", "test/worst_errors"}
    for tag in found.Tags()["images"]:
        (event,) = found.Images(tag)
        with Image.open(io.BytesIO(event.encoded_image_string)) as picture:
            assert picture.size == (event.width, event.height)
            colours = np.asarray(picture.convert("L"))
        assert colours[0, 0] == 255
        assert colours.min() < 64


def test_the_result_has_the_network(tmp_path: Path) -> None:
    graph = written(tmp_path, **{RESULT_KEY: result_events(outcome(epochs(1)), TIME_S)}).Graph()
    nodes = {node.name: node for node in graph.node}
    (shape,) = nodes["images"].attr["_output_shapes"].list.shape
    assert [side.size for side in shape.dim] == [-1, 28, 28, 1]
    assert all(origin.partition(":")[0] in nodes for node in graph.node for origin in node.input)


def test_the_result_has_the_settings_and_what_came_of_them(tmp_path: Path) -> None:
    found = written(tmp_path, **{RESULT_KEY: result_events(outcome(epochs(1)), TIME_S)})
    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    settings = metadata.parse_session_start_info_plugin_data(content).hparams
    assert settings["optimizer.lr"].number_value == 0.125
    assert settings["strategy.name"].string_value == "all_reduce"
    assert settings["workers"].number_value == 2
    content = found.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    shown = {metric.name.tag for metric in metadata.parse_experiment_plugin_data(content).metric_infos}
    assert shown == {
        "accuracy/test",
        "loss/test",
        "run_s/training",
        "loss/train",
        "accuracy/train",
        "accuracy/validation",
    }


def test_without_a_test_part_there_are_no_pictures(tmp_path: Path) -> None:
    done = epochs(1, validation=False)
    found = written(tmp_path, **{RESULT_KEY: result_events(outcome(done, is_tested=False), TIME_S)})
    assert found.Tags()["images"] == []
    assert found.Tags()["graph"]
    content = found.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    shown = {metric.name.tag for metric in metadata.parse_experiment_plugin_data(content).metric_infos}
    assert shown == {"run_s/training", "loss/train", "accuracy/train"}


def test_without_tensorboardx_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    (done,) = epochs(1)
    with pytest.raises(MissingExtra, match=r"tensorboardX.*pileus\[train\]"):
        epoch_events(done, None, TIME_S)


def test_it_is_loaded_when_it_is_used() -> None:
    code = "import sys, pileus.measure.tensorboard; sys.exit(bool({'tensorboardX', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
