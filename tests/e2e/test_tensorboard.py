"""A finished run in a real TensorBoard, asked as its page asks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pileus.operations.train import train
from pileus.recipes.load import load_recipe
from pileus.spec.resolve import resolve
from tests.servers.process import free_ports, running

pytestmark = pytest.mark.service
_LOADED_WITHIN_S = 60.0
RUN = "watched/tensorboard"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a folder of runs, with all that it holds loaded."""
    folder = tmp_path_factory.mktemp("tensorboard")
    spec = resolve(load_recipe("digits_cnn"), [(("epochs",), 2), (("engine", "name"), "fake")])
    train(spec, runs=str(folder / "runs"), name="watched")
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    options = ["--logdir", str(folder / "runs"), "--host", "127.0.0.1", "--port", str(port)]
    with (
        running([sys.executable, "-m", "tensorboard.main", *options], folder, address),
        httpx.Client(base_url=f"{address}/data/", timeout=10) as client,
    ):
        deadline = time.monotonic() + _LOADED_WITHIN_S
        while "accuracy/test" not in client.get("plugin/scalars/tags").json().get(RUN, {}):
            assert time.monotonic() < deadline, "TensorBoard does not find the run's result"
        yield client


def test_scalars(board: httpx.Client) -> None:
    told = board.get("plugin/scalars/scalars", params={"run": RUN, "tag": "loss/train"}).json()
    assert len(told) == 2
    (_, first_step, first_loss), (_, last_step, last_loss) = told
    assert last_step == 2 * first_step
    assert last_loss < first_loss


def test_pictures(board: httpx.Client) -> None:
    assert set(board.get("plugin/images/tags").json()[RUN]) == {"test/confusion", "test/worst_errors"}
    (picture,) = board.get("plugin/images/images", params={"run": RUN, "tag": "test/confusion", "sample": 0}).json()
    answer = board.get(f"plugin/images/individualImage?{picture['query']}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_the_network(board: httpx.Client) -> None:
    assert board.get("plugin/graphs/info").json()[RUN]["run_graph"]
    graph = board.get("plugin/graphs/graph", params={"run": RUN}).text
    assert 'op: "Conv"' in graph
    assert 'name: "result/logits"' in graph


def test_settings(board: httpx.Client) -> None:
    asked: dict[str, Any] = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 10,
    }
    told = json.loads(board.post("plugin/hparams/session_groups", json=asked).content)
    (group,) = told["sessionGroups"]
    assert group["hparams"]["epochs"] == 2
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    result = board.get("plugin/scalars/scalars", params={"run": RUN, "tag": "accuracy/test"}).json()
    assert metrics["accuracy/test"] == pytest.approx(result[0][2])
