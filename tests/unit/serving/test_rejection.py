"""What is none of the classes, by a bundle that knows such a thing: the server's answer and the command's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import torch

from pileus.bundles import Calibration, load, write_bundle
from pileus.bundles.export import export_onnx
from pileus.cli.main import main
from pileus.serving.server import ServeOptions, running
from pileus.store import open_store
from tests.unit.bundles.nets import describe

LINE = [[50, 0], [50, 100]]
SCRIBBLE = [[200 + (60 if turn % 2 else 0), 4 * turn] for turn in range(25)]
"""So near to itself that it is nearly a filled square."""


class Inky(torch.nn.Module):
    """Takes thin ink for a one, or, rather less, a seven, and much ink for no digit at all."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(1, 11)
        with torch.no_grad():
            self.dense.weight.zero_()
            self.dense.weight[10] = 80.0
            self.dense.bias.copy_(torch.tensor([0.0, 4, 0, 0, 0, 0, 0, 3, 0, 0, -12]))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        share_N1 = images_NHWC.to(torch.float32).flatten(1).mean(1, keepdim=True) / 255
        logits: torch.Tensor = self.dense(share_N1)
        return logits


@pytest.fixture(scope="module")
def knowing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it takes for a one has a confidence under the threshold of rejection: 0.66 a one and 0.24 a seven."""
    folder = tmp_path_factory.mktemp("knowing")
    description = msgspec.structs.replace(
        describe(calibration=Calibration(certain=0.95, rejected=0.8)), none="scribbles"
    )
    write_bundle(open_store(folder), "", export_onnx(Inky(), 28, 28, 1), description)
    return folder


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
