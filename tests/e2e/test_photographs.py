"""From a folder of photographs in sizes of their own to an answer over HTTP, by the commands a user gives.

The weights are the same however the photographs are read, by however many workers, and after a death in mid-course.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pileus.operations.runs import find_run, verify_run
from tests.contracts.tiny import noise
from tests.e2e.running import PILEUS, Begun, Ended, alone, assert_told, here
from tests.e2e.serving import served

Capture = pytest.CaptureFixture[str]
TINTS = {"sand": (220, 180, 90), "sea": (40, 110, 200), "wood": (90, 140, 50)}
SETTINGS = ("data.size=[32,40]", "epochs=8", "batch_size=16", "microbatch_size=4", "augment.saturation=0.1")
NUM_TRAIN = 62


def write_photographs(folder: Path, per_class: int = 28) -> Path:
    """JPEG files of 36 to 120 pixels a side, told apart by their colour."""
    rng = np.random.default_rng(11)
    for name, tint in TINTS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            height, width = (int(side) for side in rng.integers(36, 120, 2))
            coarse_HWC = noise(6, 8, 3, seed=number).astype(np.int64) // 2 + np.array(tint) // 2
            photo = Image.fromarray(coarse_HWC.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
            photo.save(folder / name / f"{number:02}.jpg", quality=90)
    return folder


def train_words(data: Path, runs: Path, *words: str | Path, settings: tuple[str, ...] = SETTINGS) -> list[str]:
    pairs = [word for pair in settings for word in ("--set", pair)]
    return ["train", "photos_cnn", "--data", str(data), "--runs", str(runs), *pairs, *map(str, words)]


def result_of(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    result: dict[str, Any] = json.loads(ended.out)
    return result


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def records(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("records") / "set"
    written = result_of(alone("data", "write", photographs, place, "--num-shards", "3", "--json"))
    assert (written["shape"], written["splits"]["train"]) == (None, NUM_TRAIN)
    return place


@pytest.fixture(scope="module")
def trained(records: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By two processes, from photographs that stay decoded in memory."""
    runs = tmp_path_factory.mktemp("runs")
    return result_of(alone(*train_words(records, runs, "--workers", "2", "--json")))


def test_it_learns(trained: dict[str, Any]) -> None:
    assert (trained["state"], trained["engine"], trained["workers"]) == ("done", "local", 2)
    assert trained["samples_seen"] == 8 * NUM_TRAIN
    assert trained["accuracy"] > 0.8
    assert verify_run(find_run(trained["uri"], "runs")).faults == ()


@pytest.mark.parametrize(
    ("workers", "settings"),
    [
        (1, ()),
        (1, ("reading.memory_bytes=0",)),
        (2, ("reading.memory_bytes=0", "reading.readers=3", "reading.ahead=2")),
        (3, ("reading.readers=1",)),
    ],
)
def test_workers_and_the_way_of_reading_change_no_bit(
    workers: int, settings: tuple[str, ...], records: Path, trained: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    words = train_words(records, tmp_path, "--workers", str(workers), settings=SETTINGS + settings)
    again = result_of(here(capsys, *words, "--engine", "fake", "--json"))
    assert (again["fingerprint"], again["accuracy"]) == (trained["fingerprint"], trained["accuracy"])


def test_the_folder_itself_trains_to_the_same(
    photographs: Path, trained: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    again = result_of(here(capsys, *train_words(photographs, tmp_path, "--engine", "fake", "--json")))
    assert again["fingerprint"] == trained["fingerprint"]


def test_another_size_is_another_model(records: Path, trained: dict[str, Any], tmp_path: Path, capsys: Capture) -> None:
    other = train_words(records, tmp_path, settings=(*SETTINGS, "data.size=[40,32]", "epochs=1"))
    again = result_of(here(capsys, *other, "--engine", "fake", "--json"))
    assert again["fingerprint"] != trained["fingerprint"]


@pytest.mark.parametrize(("number", "settings"), [(SIGKILL, ("reading.memory_bytes=0",)), (SIGTERM, ())])
def test_a_run_that_was_ended_goes_on_to_the_same(
    number: Signals,
    settings: tuple[str, ...],
    records: Path,
    trained: dict[str, Any],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    """SIGKILL goes back to the last checkpoint; SIGTERM leaves one, in mid-epoch or not."""
    words = train_words(records, tmp_path, "--workers", "2", "--name", "one", settings=SETTINGS + settings)
    with Begun(*PILEUS, *words) as begun:
        begun.heard("epoch 3/8")
        begun.signal(number)
        begun.ended()
    resumed = result_of(here(capsys, "runs", "resume", tmp_path / "one", "--engine", "fake", "--json"))
    assert resumed["fingerprint"] == trained["fingerprint"]
    assert verify_run(find_run("one", str(tmp_path))).faults == ()


@pytest.mark.parametrize("data", ["records", "photographs"])
def test_what_ships_measures_as_it_was_tested(
    data: str, trained: dict[str, Any], request: pytest.FixtureRequest, capsys: Capture
) -> None:
    place = request.getfixturevalue(data)
    measured = result_of(here(capsys, "evaluate", trained["uri"], "--data", place, "--json"))
    assert measured["accuracy"] == trained["accuracy"]


def test_what_is_served_is_what_is_predicted(trained: dict[str, Any], photographs: Path, capsys: Capture) -> None:
    files = [photographs / name / "05.jpg" for name in TINTS]
    predicted = here(capsys, "predict", trained["uri"], *files, "--json")
    assert predicted.code == 0, predicted.err
    answers = [answer["items"][0] for answer in json.loads(predicted.out)]
    assert [answer["label"] for answer in answers] == list(TINTS)
    with served(trained["bundle"].removeprefix("file:")) as url:
        for file, answer in zip(files, answers, strict=True):
            asked = urllib.request.Request(
                f"{url}/v1/predict", file.read_bytes(), {"Content-Type": "image/jpeg"}, method="POST"
            )
            with urllib.request.urlopen(asked, timeout=10) as reply:
                (item,) = json.load(reply)["items"]
            assert (item["label"], item["verdict"]) == (answer["label"], answer["verdict"])
            assert item["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("data.size=null",), ("vary in size", "--set data.size=[224,224]")),
        (("data.size=[16,40]",), ("at least 32 pixels a side", "got 16x40", "data.size=[32,32]")),
        (("data.size=48",), ("data.size", "got 48")),
        (("data.size=[48]",), ("data.size", "length 2")),
        (("data.size=[0,48]",), ("data.size", ">= 1")),
        (("data.size=[48,100000]",), ("data.size", "<= 8192")),
        (("data.input=drawing",), ("grey", "3 channels", "data.input=picture")),
        (("augment.cutout=32",), ("augment.cutout must be below", "32x40")),
        (("augment.crop.name=pad", "augment.crop.padding=40"), ("augment.crop.padding must be below", "32x40")),
    ],
)
def test_mistakes_are_told_before_a_run_begins(
    settings: tuple[str, ...], told: tuple[str, ...], records: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = train_words(records, tmp_path / "runs", settings=(*SETTINGS, *settings))
    assert_told(here(capsys, *words), 2, *told)
    assert not (tmp_path / "runs").exists()


def test_a_size_too_small_is_told_before_records_are_written(
    photographs: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = train_words(photographs, tmp_path / "runs", settings=("data.size=[16,16]",))
    assert_told(here(capsys, *words), 2, "at least 32 pixels a side")
    assert not (tmp_path / "runs").exists()


def test_grey_photographs_train_and_only_what_needs_colour_is_refused(
    photographs: Path, tmp_path: Path, capsys: Capture
) -> None:
    grey = tmp_path / "grey"
    assert here(capsys, "data", "write", photographs, grey, "--channels", "1").code == 0
    words = train_words(grey, tmp_path / "runs", "--engine", "fake", "--json", "--set", "epochs=1")
    assert_told(here(capsys, *words), 2, "augment.saturation needs images of three channels", "augment.saturation=0")
    done = result_of(here(capsys, *words, "--set", "augment.saturation=0"))
    measured = result_of(here(capsys, "evaluate", done["uri"], "--data", photographs, "--json"))
    assert measured["accuracy"] == done["accuracy"]
