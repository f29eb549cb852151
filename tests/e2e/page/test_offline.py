"""What the browser computes by itself is what the server computes: pixels, logits and answers."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from pileus.bundles import Bundle, BundleDescription, Calibration
from pileus.bundles.export import export_onnx
from pileus.bundles.load import load
from pileus.bundles.manifest import StoredFile, make_manifest
from pileus.data.ports import Split
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.models.layers import StandardPixels
from pileus.models.registry import build
from pileus.preprocessing.drawings import candidates_of_strokes
from pileus.preprocessing.strokes import rasterise
from pileus.serving.pages import bundle_pages
from pileus.serving.predictions import found
from pileus.spec.preprocessing import Drawing
from pileus.spec.values import digest
from tests.e2e.page.browsing import needs_browser
from tests.unit.bundles.nets import SmallNet, describe

pytestmark = needs_browser

NUM_DRAWINGS = 150


class OfAllKinds(torch.nn.Module):
    """What nets for drawings may have besides: strides, groups, a residual, centred pixels, a mean, no bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.pixels = StandardPixels(1)
        self.first = torch.nn.Conv2d(1, 8, 5, stride=2, padding=2, bias=False)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.dense = torch.nn.Linear(8, 10, bias=False)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        features_NCHW = torch.nn.functional.max_pool2d(self.first(self.pixels(images_NHWC)), 3, stride=2, padding=1)
        features_NCHW = features_NCHW - torch.relu(self.second(features_NCHW))
        logits: torch.Tensor = self.dense(torch.nn.functional.adaptive_avg_pool2d(features_NCHW, 1).flatten(1)) / 3
        return logits


NETS: dict[str, tuple[Drawing, Callable[[], torch.nn.Module]]] = {
    "strokes_cnn": (Drawing(), lambda: build("strokes_cnn", (28, 28, 1), 10, seed=1)),
    "mnist_cnn": (Drawing(), lambda: build("mnist_cnn", (28, 28, 1), 10, seed=2)),
    "lenet5": (Drawing(), lambda: build("lenet5", (28, 28, 1), 10, seed=3)),
    "digits_cnn": (
        Drawing(height=8, width=8, box=8.0, stroke_width=1.0),
        lambda: build("digits_cnn", (8, 8, 1), 10, seed=4),
    ),
    "with a norm": (Drawing(), SmallNet),
    "of all kinds": (Drawing(height=24, width=20), lambda: OfAllKinds()),
}

_IN_THE_BROWSER = """async ({ description, graph, drawings }) => {
  const folder = document.scripts[0].src.replace(/[^/]*$/, "offline/");
  const { Model } = await import(folder + "model.js");
  const { rasterise } = await import(folder + "rasterise.js");
  const model = new Model(description, Uint8Array.from(atob(graph), (c) => c.charCodeAt(0)));
  const start = performance.now();
  const answers = drawings.map((strokes) => {
    const image = rasterise(strokes, description.preprocessing);
    return { image: Array.from(image), logits: Array.from(model.logits(image)), answer: model.answer(strokes) };
  });
  return { answers, ms: (performance.now() - start) / drawings.length };
}"""


def drawings(count: int) -> list[list[list[list[float]]]]:
    """Of the test part's writers, every third of several digits, after dots, lines, repeated points and a far place."""
    odd: list[list[list[list[float]]]] = [
        [[[5, 5]]],
        [[[5, 5], [5, 5], [5, 5]]],
        [[[0, 0], [100, 0]]],
        [[[10, 0], [10, 90], [10, 90]], [[40, 40]]],
        [[[1e6 + 0.1, 3], [1e6 + 400.7, 800]]],
    ]
    drawn = load_strokes(Split.TEST)
    rng = np.random.default_rng(3)
    return odd + [
        side_by_side([drawn[i] for i in rng.choice(len(drawn), 1 if number % 3 else rng.integers(2, 5))], rng)
        for number in range(count - len(odd))
    ]


def side_by_side(digits: list[DrawnDigit], rng: np.random.Generator) -> list[list[list[float]]]:
    """With gaps and overlaps between them."""
    strokes: list[list[list[float]]] = []
    right = 0.0
    for digit in digits:
        left = float(np.concatenate(digit.strokes)[:, 0].min())
        shift = right - left + rng.uniform(-60, 90)
        strokes += [np.round(stroke + np.array([shift, 0.0]), 1).tolist() for stroke in digit.strokes]
        right = max(x for stroke in strokes for x, _ in stroke)
    return strokes


def run_in_browser(page: Page, description: dict[str, Any], graph: bytes, asked: list[Any]) -> list[dict[str, Any]]:
    told = {"description": description, "graph": base64.b64encode(graph).decode(), "drawings": asked}
    done = page.evaluate(_IN_THE_BROWSER, told)
    print(f"{done['ms']:.1f} ms a drawing")
    return list(done["answers"])


def described(bundle_description: BundleDescription, graph: bytes) -> tuple[Bundle, dict[str, Any]]:
    files = {"model.onnx": StoredFile(sha256=digest(graph), size_bytes=len(graph))}
    manifest = make_manifest(bundle_description, files)
    pages = bundle_pages(manifest, graph)
    (path,) = (path for path in pages if path.endswith("model.json"))
    return Bundle(manifest, graph), json.loads(pages[path].body)


@pytest.mark.parametrize("name", NETS)
def test_any_net_for_drawings_computes_the_same(page: Page, name: str) -> None:
    spec, make = NETS[name]
    graph = export_onnx(make().eval(), spec.height, spec.width, 1)
    calibration = Calibration(temperature=1.7, certain=0.5, rejected=0.2)
    bundle, description = described(
        BundleDescription(name=name, classes=tuple("0123456789"), preprocessing=spec, calibration=calibration), graph
    )
    compared(page, bundle, description, graph, drawings(12))


def test_what_is_none_of_the_classes_is_rejected_the_same(page: Page) -> None:
    graph = export_onnx(build("drawings_cnn", (28, 28, 1), 11, seed=8).eval(), 28, 28, 1)
    asked = drawings(30)
    knowing = BundleDescription(name="digits", classes=tuple("0123456789"), none="none", preprocessing=Drawing())
    shares_NK = described(with_thresholds(knowing, certain=0.9, rejected=0.0), graph)[0].probabilities(
        np.stack([rasterise([np.array(stroke) for stroke in strokes], Drawing()) for strokes in asked])
    )
    assert np.ptp(shares_NK.sum(axis=1)) > 0.5
    half = with_thresholds(knowing, certain=0.999, rejected=float(np.median(shares_NK.sum(axis=1))))
    bundle, description = described(half, graph)
    assert {"rejected", "unsure"} <= set(compared(page, bundle, description, graph, asked))


def test_what_is_several_is_cut_and_what_is_none_is_not_the_same(page: Page) -> None:
    """By a net that has learned nothing, whose doubts are as many as the drawings."""
    graph = export_onnx(build("drawings_cnn", (28, 28, 1), 12, seed=9).eval(), 28, 28, 1)
    knowing = BundleDescription(
        name="digits", classes=tuple("0123456789"), none="none", several="several", preprocessing=Drawing()
    )
    bundle, description = described(with_thresholds(knowing, certain=0.9, rejected=0.4), graph)
    verdicts = compared(page, bundle, description, graph, drawings(40))
    assert len(verdicts) > 40, "some are cut"
    assert "rejected" in verdicts


def with_thresholds(description: BundleDescription, *, certain: float, rejected: float) -> BundleDescription:
    """At a temperature that sets the probabilities of a net that has learned nothing far apart."""
    calibration = Calibration(temperature=0.05, certain=certain, rejected=rejected)
    return msgspec.structs.replace(description, calibration=calibration)


def compared(page: Page, bundle: Bundle, description: dict[str, Any], graph: bytes, asked: list[Any]) -> list[str]:
    """The verdicts that the browser gives, after all that it gives was held equal to what Python does."""
    spec = bundle.manifest.preprocessing
    assert isinstance(spec, Drawing)
    verdicts = []
    for strokes, there in zip(asked, run_in_browser(page, description, graph, asked), strict=True):
        image_HWC = rasterise([np.array(stroke) for stroke in strokes], spec)
        assert there["image"] == image_HWC.reshape(-1).tolist()
        (here,) = found(bundle, [candidates_of_strokes([np.array(stroke) for stroke in strokes], spec)]).answers
        for mine, theirs in zip(there["answer"]["items"], here, strict=True):
            assert (mine["label"], mine["verdict"], mine["box"]) == (theirs.label, theirs.verdict, list(theirs.box))
            assert mine["probabilities"] == pytest.approx(theirs.probabilities, abs=1e-4)
            assert mine["confidence"] == pytest.approx(theirs.confidence, abs=1e-4)
            verdicts.append(mine["verdict"])
    return verdicts


def test_the_browser_answers_as_the_server_does(page: Page, server: str, digits_bundle: Path) -> None:
    graph = (digits_bundle / "model.onnx").read_bytes()
    manifest = load(digits_bundle).manifest
    pages = bundle_pages(manifest, graph)
    asked = drawings(NUM_DRAWINGS)
    description = json.loads(pages[f"/v1/bundles/{manifest.short_version}/model.json"].body)
    for strokes, there in zip(asked, run_in_browser(page, description, graph, asked), strict=True):
        body = json.dumps({"strokes": strokes}).encode()
        request = urllib.request.Request(f"{server}/v1/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            here = json.load(response)
        assert {**there["answer"], "request_id": here["request_id"]}.keys() == here.keys()
        assert (there["answer"]["text"], there["answer"]["model"]) == (here["text"], here["model"])
        assert there["answer"]["confidence"] == pytest.approx(here["confidence"], abs=1e-3)
        for mine, theirs in zip(there["answer"]["items"], here["items"], strict=True):
            assert (mine["label"], mine["verdict"], mine["box"]) == (theirs["label"], theirs["verdict"], theirs["box"])
            assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"calibration": {"temperature": 1, "certain": 0.9, "rejected": 0.3, "energy": 2.0}}, "energy"),
        ({"energy": 2.0}, "energy"),
        ({"none": "scribbles"}, "gives 10 logits, its classes need 11"),
        ({"none": "scribbles", "several": "more"}, "gives 10 logits, its classes need 12"),
        ({"preprocessing": {"kind": "picture", "height": 28, "width": 28}}, "only drawings"),
    ],
)
def test_what_would_be_answered_otherwise_is_not_answered(page: Page, change: dict[str, Any], words: str) -> None:
    graph = export_onnx(SmallNet().eval(), 28, 28, 1)
    _, description = described(describe(Drawing()), graph)
    assert words in refusal(page, {**description, **change}, graph)


def test_a_graph_that_is_damaged_or_unknown_is_refused(page: Page) -> None:
    graph = export_onnx(SmallNet().eval(), 28, 28, 1)
    _, description = described(describe(Drawing()), graph)
    assert "damaged" in refusal(page, description, graph[:-100])
    assert "no ONNX graph" in refusal(page, description, b"")
    assert "not known here: Gelu" in refusal(page, description, graph.replace(b"\x22\x04Relu", b"\x22\x04Gelu"))


def refusal(page: Page, description: dict[str, Any], graph: bytes) -> str:
    told = {"description": description, "graph": base64.b64encode(graph).decode(), "drawings": []}
    caught = (
        f"async (told) => {{ try {{ await ({_IN_THE_BROWSER})(told); }} catch (error) {{ return error.message; }} }}"
    )
    return str(page.evaluate(caught, told))
