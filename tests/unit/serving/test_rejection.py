"""What is none of the classes, by a bundle that knows such a thing: the server's answer and the command's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.bundles import load
from pileus.cli.main import main
from pileus.serving.server import ServeOptions, running

LINE = [[50, 0], [50, 100]]
SCRIBBLE = [[200 + (60 if turn % 2 else 0), 4 * turn] for turn in range(25)]
"""So near to itself that it is nearly a filled square."""


@pytest.fixture(scope="module")
def server(knowing_folder: Path) -> Iterator[str]:
    with running(load(knowing_folder), ServeOptions(port=0)) as url:
        yield url


def told(server: str, strokes: list[list[list[int]]]) -> dict[str, Any]:
    response = httpx.post(f"{server}/v1/predict", json={"strokes": strokes}, timeout=20)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_doubt_between_digits_is_no_rejection(server: str) -> None:
    answer = told(server, [LINE])
    (item,) = answer["items"]
    assert (answer["text"], item["label"], item["verdict"]) == ("1", "1", "unsure")
    assert item["confidence"] < 0.8 < sum(item["probabilities"].values())


def test_what_is_none_of_the_classes_has_no_label_and_is_not_in_the_text(server: str) -> None:
    answer = told(server, [LINE, SCRIBBLE])
    one, scribble = answer["items"]
    assert (answer["text"], one["label"], one["verdict"]) == ("1", "1", "unsure")
    assert (scribble["label"], scribble["verdict"]) == (None, "rejected")
    assert list(scribble["probabilities"]) == list("0123456789")
    assert sum(scribble["probabilities"].values()) < 0.2
    assert scribble["box"] == [200, 0, 60, 96]


def test_the_command_rejects_what_the_server_rejects(
    server: str, knowing_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = tmp_path / "drawing.json"
    drawing.write_text(json.dumps({"strokes": [LINE, SCRIBBLE]}))
    assert main(["predict", str(knowing_folder), str(drawing), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["items"] == told(server, [LINE, SCRIBBLE])["items"]
    assert main(["predict", str(knowing_folder), str(drawing)]) == 0
    words = capsys.readouterr().out.split()
    assert (words[-3], words[-1]) == ("-", "rejected")
