"""`pileus predict`, and what `pileus serve` refuses before it serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pileus.bundles import load
from pileus.cli.main import main
from pileus.preprocessing.strokes import rasterise
from pileus.serving.addresses import bind
from pileus.serving.server import ServeOptions, running
from pileus.spec.preprocessing import Drawing

SEVEN = [[[10.0, 10.0], [90.0, 12.0], [40.0, 95.0]]]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    image_HWC = rasterise([np.array(stroke) for stroke in SEVEN], Drawing())
    picture, drawing = tmp_path / "seven.png", tmp_path / "seven.json"
    Image.fromarray(image_HWC[:, :, 0]).save(picture)
    drawing.write_text(json.dumps({"strokes": SEVEN}))
    return {"picture": picture, "drawing": drawing}


def test_pictures_and_strokes_of_one_drawing_are_answered_alike(
    bundle_folder: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(file) for file in files.values()]
    assert main(["predict", str(bundle_folder), *names, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert [first["file"], second["file"]] == names
    assert first["items"][0]["probabilities"] == pytest.approx(second["items"][0]["probabilities"], abs=1e-6)
    assert first["model"] == {"name": "digits", "version": load(bundle_folder).version}
    assert set(first) == {"file", "model", "text", "confidence", "items"}


def test_the_command_answers_as_the_server_does(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strokes = [*SEVEN, [[x + 150, y] for x, y in SEVEN[0]]]
    sheet = Image.new("L", (400, 200), 255)
    for line in strokes:
        ImageDraw.Draw(sheet).line([(x + 50, y + 50) for x, y in line], fill=0, width=9)
    sheet.save(tmp_path / "two.png")
    (tmp_path / "two.json").write_text(json.dumps({"strokes": strokes}))
    names = [str(tmp_path / name) for name in ("two.json", "two.png")]
    assert main(["predict", str(bundle_folder), *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with running(load(bundle_folder), ServeOptions(port=0)) as url:
        for name, mine, media_type in zip(names, told, ("application/json", "image/png"), strict=True):
            headers = {"Content-Type": media_type}
            theirs = httpx.post(f"{url}/v1/predict", content=Path(name).read_bytes(), headers=headers).json()
            assert len(mine["items"]) == 2
            assert (mine["text"], mine["model"]) == (theirs["text"], theirs["model"])
            for one, other in zip(mine["items"], theirs["items"], strict=True):
                assert (one["label"], one["verdict"], one["box"]) == (other["label"], other["verdict"], other["box"])
                assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_people_get_a_table(bundle_folder: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(bundle_folder), str(files["picture"])]) == 0
    words = "".join(capsys.readouterr().out.split())
    assert "seven.png" in words and "%" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "PNG or JPEG"),
        (b"", "empty file"),
        (b"{", "not JSON"),
        (b'{"strokes": 3}', "a drawing is"),
        (b'{"strokes": [[1, 2]]}', "a drawing is"),
        (b'{"strokes": [[["a", 2]]]}', "a drawing is"),
        (b'{"other": []}', "a drawing is"),
        (b'{"strokes": []}', "at least one point"),
    ],
)
def test_a_file_that_cannot_be_answered_is_named(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    wrong = tmp_path / "wrong.file"
    wrong.write_bytes(content)
    assert main(["predict", str(bundle_folder), str(wrong)]) == 2
    message = capsys.readouterr().err
    assert "wrong.file" in message and words in message and "Traceback" not in message


def test_missing_files_and_folders(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for missing in (tmp_path / "missing.png", tmp_path):
        assert main(["predict", str(bundle_folder), str(missing)]) == 2
        assert missing.name in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "nothing"), "x.png"]) == 2
    assert "no bundle" in capsys.readouterr().err


def test_a_run_is_found_by_its_name(
    bundle_folder: Path, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "runs" / "digits" / "bundle"
    shutil.copytree(bundle_folder, named)
    options = ["--runs", str(tmp_path / "runs"), "--json"]
    assert main(["predict", "digits", str(files["picture"]), *options]) == 0
    assert json.loads(capsys.readouterr().out)[0]["model"]["name"] == "digits"
    assert main(["predict", "letters", str(files["picture"]), *options]) == 2
    assert "no finished run of that name" in capsys.readouterr().err


def test_strokes_for_a_model_of_photographs(
    photographs_folder: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photographs_folder), str(files["drawing"])]) == 2
    assert "pictures, not strokes" in capsys.readouterr().err
    assert main(["predict", str(photographs_folder), str(files["picture"])]) == 0


def test_a_damaged_bundle(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("model.onnx", "manifest.json"):
        (tmp_path / name).write_bytes((bundle_folder / name).read_bytes())
    content = bytearray((tmp_path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.onnx").write_bytes(content)
    for command in (["predict", str(tmp_path), "x.png"], ["serve", str(tmp_path), "--port", "0"]):
        assert main(command) == 1
        assert "model.onnx was changed" in capsys.readouterr().err


def test_serve_refuses_before_it_serves(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILEUS_API_KEY", raising=False)
    assert main(["serve", str(bundle_folder), "--host", "0.0.0.0"]) == 2
    assert "PILEUS_API_KEY" in capsys.readouterr().err
    assert main(["serve", str(bundle_folder), "--processes", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err
    with bind("127.0.0.1", 0) as taken:
        assert main(["serve", str(bundle_folder), "--port", str(taken.getsockname()[1])]) == 2
    assert "it is in use" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("serve", "predict"):
        assert main([command, "--help"]) == 0
        assert f"pileus {command} digits" in capsys.readouterr().out
