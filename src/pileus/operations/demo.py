"""The whole of Pileus in small: shards, two workers, a bundle, a server, and drawn digits that it answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec
import numpy as np

from pileus.bundles.load import load
from pileus.data.ports import Split
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.errors import UsageError, WorkFailed
from pileus.operations.observer import Observer
from pileus.operations.train import TrainResult, train
from pileus.recipes.load import load_recipe
from pileus.serving.addresses import bind
from pileus.serving.server import ServeOptions, running
from pileus.spec.resolve import resolve
from pileus.spec.values import Spec

RECIPE = "strokes_cnn"
USUAL_PORT = 8000
_HOST = "127.0.0.1"
_REQUEST_DEADLINE_S = 10.0


class Served(Spec, frozen=True, kw_only=True):
    """What the server answered to drawings of people that the model has never seen."""

    url: str
    drawings: int
    accuracy: float
    """Share of the drawings answered right, in [0, 1]; a rejected one is wrong."""
    p50_ms: float
    p99_ms: float
    """Latency of one drawing after another over one connection."""


def usable_port(asked: int | None) -> int:
    """The asked port, UsageError where it is taken: better told before the training. Unasked: the usual one, or any."""
    port = USUAL_PORT if asked is None else asked
    try:
        bind(_HOST, port).close()
    except UsageError:
        if asked is None:
            return 0
        raise
    return port


def train_demo(runs: str, observer: Observer) -> TrainResult:
    return train(resolve(load_recipe(RECIPE)), runs=runs, recipe="demo", observer=observer)


@contextmanager
def served(result: TrainResult, port: int) -> Iterator[str]:
    """The bundle behind its page for the length of the block; yields the URL. Port 0 finds a free one."""
    with running(load(result.bundle), ServeOptions(host=_HOST, port=port)) as url:
        yield url


def draw(url: str, observer: Observer) -> Served:
    """Send every drawing of the test writers to the server and compare its answers."""
    drawings = load_strokes(Split.TEST)
    address = urlsplit(url)
    assert address.hostname and address.port
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=_REQUEST_DEADLINE_S)
    latencies_ms, right = [], 0
    try:
        for number, drawing in enumerate(drawings):
            started = time.perf_counter()
            right += _answered(connection, drawing) == str(drawing.label)
            latencies_ms.append((time.perf_counter() - started) * 1000)
            observer.progress(number + 1, len(drawings))
    except OSError as error:
        raise WorkFailed(f"the server at {url} stopped answering: {error}.") from error
    finally:
        connection.close()
    return Served(
        url=url,
        drawings=len(drawings),
        accuracy=right / len(drawings),
        p50_ms=round(float(np.percentile(latencies_ms, 50)), 2),
        p99_ms=round(float(np.percentile(latencies_ms, 99)), 2),
    )


def _answered(connection: http.client.HTTPConnection, drawing: DrawnDigit) -> str | None:
    body = msgspec.json.encode({"strokes": [stroke.tolist() for stroke in drawing.strokes]})
    connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.HTTPStatus.OK:
        raise WorkFailed(f"the server answered {response.status} to drawing {drawing.id}: {content[:200]!r}")
    return str(msgspec.json.decode(content)["items"][0]["label"])
