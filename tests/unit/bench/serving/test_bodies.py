"""Bodies of each kind are what the server reads, and an answer is right by the offline model alone."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from pileus.bench.serving.bodies import Bodies, bodies_of, kinds_of, wrong_answers
from pileus.bench.serving.load import Given
from pileus.bundles import Bundle, Prediction, load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.data.sources.open import open_source
from pileus.errors import UsageError
from pileus.preprocessing.pictures import fit_file
from pileus.spec.preprocessing import Drawing, Picture
from pileus.store import open_store
from tests.unit.bundles.nets import SmallNet, describe


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("drawings")
    write_bundle(open_store(folder), "", export_onnx(SmallNet(), 28, 28, 1), describe(Drawing()))
    return load(folder)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("photographs")
    onnx = export_onnx(SmallNet(16, 24, 3), 16, 24, 3)
    write_bundle(open_store(folder), "", onnx, describe(Picture(height=16, width=24)))
    return load(folder)


def given(answer: object, times: int = 1) -> Given:
    return Given(body=0, answer=msgspec.json.encode(answer), times=times)


def told(prediction: Prediction) -> dict[str, object]:
    return {"items": [msgspec.to_builtins(prediction)]}


def test_raw_bytes_are_the_models_input(drawings: Bundle) -> None:
    bodies = bodies_of("raw", drawings, None)
    assert {len(content) for content in bodies.contents} == {784}
    images_NHWC = np.stack([np.frombuffer(each, np.uint8).reshape(28, 28, 1) for each in bodies.contents[:3]])
    assert [each.label for each in drawings.predict(images_NHWC)] == [one.label for (one,) in bodies.expected[:3]]


def test_png_and_strokes_are_read_as_the_server_reads_them(drawings: Bundle, photographs: Bundle) -> None:
    png = bodies_of("png", photographs, open_source("embedded:digits"))
    image_HWC = fit_file(png.contents[0], photographs.manifest.preprocessing).image
    (expected,), (found,) = png.expected[0], photographs.predict(image_HWC[None])
    assert (expected.label, expected.probabilities) == (found.label, found.probabilities)
    strokes = bodies_of("strokes", drawings, None)
    assert len(msgspec.json.decode(strokes.contents[0])["strokes"][0][0]) == 2
    assert strokes.media_type == "application/json"


def test_strokes_are_for_drawings(photographs: Bundle, drawings: Bundle) -> None:
    with pytest.raises(UsageError, match="leave strokes out"):
        bodies_of("strokes", photographs, None)
    assert (kinds_of(photographs), kinds_of(drawings)) == (("raw", "png"), ("raw", "png", "strokes"))
    assert len(bodies_of("raw", photographs, None).contents[0]) == 16 * 24 * 3


@pytest.mark.parametrize(("shift", "wrong"), [(0.0, 0), (9e-6, 0), (2e-5, 7)])
def test_an_answer_is_right_to_the_fifth_digit(shift: float, wrong: int, drawings: Bundle) -> None:
    bodies = bodies_of("raw", drawings, None)
    (expected,) = bodies.expected[0]
    name = next(iter(expected.probabilities))
    probabilities = {**expected.probabilities, name: expected.probabilities[name] + shift}
    moved = msgspec.structs.replace(expected, probabilities=probabilities)
    assert wrong_answers([given(told(moved), 7)], bodies) == wrong


def test_other_answers_are_wrong(drawings: Bundle) -> None:
    bodies: Bodies = bodies_of("raw", drawings, None)
    (expected,) = bodies.expected[0]
    other = msgspec.structs.replace(expected, label="none")
    double = {"items": 2 * [msgspec.to_builtins(expected)]}
    answers: tuple[object, ...] = (told(other), {"items": []}, {}, double, "text")
    for answer in answers:
        assert wrong_answers([given(answer)], bodies) == 1
