"""Corrections: from an answer over a server's memory to a sample that training reads."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pileus.bundles import load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.bundles.load import read_verified
from pileus.data.ports import Split
from pileus.data.sources.feedback import FOLDER
from pileus.data.sources.open import open_source
from pileus.errors import UsageError
from pileus.preprocessing.strokes import rasterise
from pileus.serving import feedback as feedback_module
from pileus.serving.answers import Refusal
from pileus.serving.feedback import UNKNOWN, Answered, Correct, Feedback, Outcome, Recent, correct_of, prepare_feedback
from pileus.serving.server import ServeOptions, running
from pileus.spec.preprocessing import Drawing
from pileus.store import open_store
from tests.unit.serving.conftest import KNOWING, Inky

SEVEN = [[[10.0, 10.0], [90.0, 12.0], [40.0, 95.0]]]
TWO_DIGITS = [*SEVEN, [[210.0, 5.0], [208.0, 95.0]]]


def png_of(lines: list[list[list[float]]]) -> bytes:
    sheet = Image.new("L", (400, 200), 255)
    for line in lines:
        ImageDraw.Draw(sheet).line([(x + 50, y + 50) for x, y in line], fill=0, width=9)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "feedback")


def served(bundle_folder: Path, place: str | None) -> Any:
    return running(load(bundle_folder), ServeOptions(port=0, feedback=place))


def corrected(client: httpx.Client, request_id: str, label: str, item: int = 0) -> httpx.Response:
    return client.post("/v1/feedback", json={"request_id": request_id, "item": item, "label": label})


def test_what_is_corrected_can_be_learned_from(bundle_folder: Path, place: str) -> None:
    image_HWC = rasterise([np.array(line) for line in SEVEN], Drawing())
    with served(bundle_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        strokes = client.post("/v1/predict", json={"strokes": TWO_DIGITS}).json()
        whole = client.post("/v1/predict?segment=none", json={"strokes": TWO_DIGITS}).json()
        headers = {"Content-Type": "image/png"}
        picture = client.post("/v1/predict", content=png_of(TWO_DIGITS), headers=headers).json()
        headers = {"Content-Type": "application/octet-stream"}
        raw = client.post("/v1/predict", content=image_HWC.tobytes(), headers=headers).json()
        for answer, item, label in (
            (strokes, 0, "3"), (strokes, 1, "1"), (whole, 0, "8"), (picture, 1, "4"), (raw, 0, "5"),
            (strokes, 0, "7"),
        ):  # fmt: skip
            assert corrected(client, answer["request_id"], label, item).status_code == 202
    source = open_source(place)
    assert source.kind == "feedback" and source.classes == tuple("0123456789") and source.preprocessing == Drawing()
    samples = {source[i].label: source[i] for i in range(len(source))}
    assert sorted(samples) == [1, 4, 5, 7, 8]
    assert np.array_equal(np.asarray(samples[7].image), image_HWC)
    assert np.array_equal(np.asarray(samples[5].image), image_HWC)
    one = rasterise([np.array(TWO_DIGITS[1])], Drawing())
    assert np.array_equal(np.asarray(samples[1].image), one)
    assert np.array_equal(np.asarray(samples[8].image), rasterise([np.array(line) for line in TWO_DIGITS], Drawing()))
    assert np.abs(np.asarray(samples[4].image, float) - one).mean() < 20


def test_a_photograph_is_kept_as_it_was_sent(photographs_folder: Path, place: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 10, 10)).save(buffer, "JPEG")
    with served(photographs_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        headers = {"Content-Type": "image/jpeg"}
        answer = client.post("/v1/predict", content=buffer.getvalue(), headers=headers).json()
        assert corrected(client, answer["request_id"], "3").status_code == 202
    sample = open_source(place)[0]
    assert sample.image == (buffer.getvalue(), "jpeg") and sample.label == 3


def test_the_newest_correction_of_one_drawing_wins_whoever_asked(bundle_folder: Path, place: str) -> None:
    with served(bundle_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        for label in ("3", "9"):
            answer = client.post("/v1/predict", json={"strokes": SEVEN}).json()
            assert corrected(client, answer["request_id"], label).status_code == 202
    source = open_source(place)
    assert [source[i].label for i in range(len(source))] == [9]


def test_what_is_no_digit_is_a_correction_of_a_model_that_knows_of_such(
    bundle_folder: Path, knowing_folder: Path, place: str
) -> None:
    with served(bundle_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        asked = client.post("/v1/predict", json={"strokes": TWO_DIGITS}).json()["request_id"]
        assert "no class 'scribbles'" in corrected(client, asked, "scribbles").json()["detail"]
        assert corrected(client, asked, "7", 0).status_code == 202
    assert open_source(place).classes == tuple("0123456789")
    with served(knowing_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/v1/models").json()["models"][0]["none"] == "scribbles"
        asked = client.post("/v1/predict", json={"strokes": TWO_DIGITS}).json()["request_id"]
        assert corrected(client, asked, "scribbles", 1).status_code == 202
    with served(bundle_folder, place):
        source = open_source(place)
    assert source.classes == (*"0123456789", "scribbles")
    assert sorted(source[i].label for i in range(len(source))) == [7, 10]


def test_two_digits_that_were_taken_for_one_are_a_correction(knowing_folder: Path, place: str, tmp_path: Path) -> None:
    """Of a model that tells them from what is no digit. What one knows, a later one need not."""
    description = msgspec.structs.replace(KNOWING, several="more")
    write_bundle(open_store(tmp_path), "", export_onnx(Inky(12), 28, 28, 1), description)
    with served(tmp_path, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/v1/models").json()["models"][0]["several"] == "more"
        asked = client.post("/v1/predict", json={"strokes": TWO_DIGITS}).json()["request_id"]
        assert corrected(client, asked, "more", 1).status_code == 202
    with served(knowing_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        asked = client.post("/v1/predict", json={"strokes": TWO_DIGITS}).json()["request_id"]
        assert corrected(client, asked, "scribbles", 0).status_code == 202
    assert open_source(place).classes == (*"0123456789", "scribbles", "more")


def test_items_of_one_input_are_held_back_together(place: str, bundle_folder: Path) -> None:
    drawings = [[*SEVEN, [[210.0 + shift, 5.0], [208.0, 95.0]]] for shift in range(12)]
    with served(bundle_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        for drawing in drawings:
            asked = client.post("/v1/predict", json={"strokes": drawing}).json()["request_id"]
            assert [corrected(client, asked, "7", item).status_code for item in (0, 1)] == [202, 202]
    source = open_source(place)
    splits: dict[str, set[Split | None]] = {}
    for index in range(len(source)):
        splits.setdefault(source.row(index).id.partition("/")[0], set()).add(source.row(index).split)
    assert [len(each) for each in splits.values()] == [1] * len(drawings)
    assert len(set.union(*splits.values())) > 1


def test_what_is_no_digit_has_one_name_in_a_place(knowing_folder: Path, place: str) -> None:
    manifest = load(knowing_folder).manifest
    prepare_feedback(place, manifest)
    prepare_feedback(place, msgspec.structs.replace(manifest, several="more"))
    for other in (msgspec.structs.replace(manifest, none="other"), msgspec.structs.replace(manifest, several="many")):
        with pytest.raises(UsageError, match="a model with other classes"):
            prepare_feedback(place, other)


def test_what_cannot_be_kept(bundle_folder: Path, place: str) -> None:
    with served(bundle_folder, place) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/v1/models").json()["models"][0]["feedback"] is True
        asked = client.post("/v1/predict", json={"strokes": SEVEN}).json()["request_id"]
        assert corrected(client, "unheard-of", "7").status_code == 404
        assert "no class 'x'" in corrected(client, asked, "x").json()["detail"]
        assert "no item 1" in corrected(client, asked, "7", item=1).json()["detail"]
        for body, status in (
            (b"{", 400),
            (b"[]", 422),
            (b"[" * 50_000, 422),
            (b"[" * 50_000, 422),
            (b'{"request_id": "a", "item": -1, "label": "7"}', 422),
        ):
            headers = {"Content-Type": "application/json"}
            assert client.post("/v1/feedback", content=body, headers=headers).status_code == status
    assert open_store(place).list(FOLDER) == []


def test_without_a_place_there_is_no_such_route(bundle_folder: Path) -> None:
    with served(bundle_folder, None) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/v1/models").json()["models"][0]["feedback"] is False
        assert corrected(client, "any", "7").status_code == 404


def test_a_place_of_another_model_is_refused(bundle_folder: Path, photographs_folder: Path, place: str) -> None:
    with served(photographs_folder, place):
        pass
    with pytest.raises(UsageError, match="a model with other classes"), served(bundle_folder, place):
        pass


def answered(bundle_folder: Path, content: bytes = b'{"strokes":[]}') -> Answered:
    manifest, _ = read_verified(open_store(bundle_folder))
    told = json.dumps({"text": "7", "items": [{"label": "7", "confidence": 1.0, "box": [0, 0, 1, 1]}]}).encode()[1:]
    return Answered(manifest, "application/json", False, content, told, 0.0)


def test_a_full_place_takes_no_more(bundle_folder: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_module, "_MAX_KEPT", 2)

    async def correct_three() -> list[int]:
        feedback = Feedback(place)
        for number in range(3):
            feedback.remember(b"%d" % number, answered(bundle_folder, b"%d" % number))
        outcomes = [await feedback.correct(Correct(str(number), 0, "7")) for number in range(3)]
        await feedback.stop()
        return [outcome.status for outcome in outcomes]

    assert asyncio.run(correct_three()) == [202, 202, 503]


def test_who_does_not_know_an_answer_asks_the_others(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_module, "_OTHERS_S", 0.02)

    async def known(correct: Correct) -> Outcome:
        return Outcome(202)

    async def silent(correct: Correct) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> list[Outcome]:
        feedback = Feedback(place)
        return [await feedback.correct_anywhere(Correct("far", 0, "7"), others) for others in (known, silent)]

    assert asyncio.run(ask()) == [Outcome(202), UNKNOWN]


def test_recent_answers_are_bounded_in_number_and_size(bundle_folder: Path) -> None:
    recent = Recent(max_answers=3, max_bytes=1000)
    for number in range(5):
        recent.note(str(number), answered(bundle_folder, bytes(100)))
    assert [recent.find(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    recent.note("great", answered(bundle_folder, bytes(2000)))
    assert recent.find("great") is None and recent.find("4") is not None
    recent.note("large", answered(bundle_folder, bytes(800)))
    assert recent.find("large") is not None and recent.find("4") is None


@given(st.binary(max_size=100) | st.from_regex(rb'\{"request_id":"[a-z]*","item":-?\d+,"label":.*\}', fullmatch=True))
def test_any_body_is_a_correction_or_refused(body: bytes) -> None:
    try:
        assert correct_of(body).item >= 0
    except Refusal as refusal:
        assert refusal.status in (400, 422)
