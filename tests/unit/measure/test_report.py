"""The page: whole, self-contained, honest about what there is not, and safe with any name."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pileus.measure.classification import Classification, measure_classification
from pileus.measure.report import ReportContent, render_report, worst_errors
from pileus.measure.worst import worst_rows
from pileus.spec.job import EpochDone
from pileus.spec.run import Data, RunSpec

EVIL = "<img src=x onerror=alert(1)>&'\""
SPEC = RunSpec(model="strokes_cnn", data=Data(source="embedded:strokes"), workers=2)


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes what it did not open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def epoch(number: int, **others: Any) -> EpochDone:
    fields: dict[str, Any] = {
        "epoch": number,
        "step": 10 * (number + 1),
        "samples": 1000 * (number + 1),
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "validation_loss": None,
        "validation_accuracy": None,
        "lr": 0.1,
        "seconds": 2.0,
        "phases_s": {"data": 0.5, "compute": 1.0},
        "fingerprint": "ab" * 32,
    }
    return EpochDone(**fields | others)


def measured(num_classes: int = 3, name: str = "class") -> Classification:
    rng = np.random.default_rng(3)
    probabilities_NK = rng.dirichlet(np.full(num_classes, 0.3), 4 * num_classes).astype(np.float32)
    labels_N = np.arange(4 * num_classes) % num_classes
    return measure_classification(probabilities_NK, labels_N, [f"{name}{k}" for k in range(num_classes)])


def pictures(images_NHWC: NDArray[np.uint8], name: str = "sample") -> list[Any]:
    """Each image as an error, the first the most confident."""
    num_images = len(images_NHWC)
    probabilities_NK = np.zeros((num_images, 3), np.float32)
    probabilities_NK[:, 1] = np.linspace(0.99, 0.5, num_images)
    labels_N = np.zeros(num_images, np.int64)
    ids = [f"{name}/{n}" for n in range(num_images)]
    return worst_errors(images_NHWC, probabilities_NK, labels_N, ids, [f"{name}{k}" for k in range(3)])


def noise(num_images: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (num_images, height, width, channels), np.uint8)


def full(**others: Any) -> ReportContent:
    fields: dict[str, Any] = {
        "run_name": "run-7",
        "spec": SPEC,
        "epochs": [epoch(0), epoch(1)],
        "test": measured(),
        "worst": pictures(noise(2, 8, 8, 1)),
        "phases_s": {"records": 1.0, "training": 3.0},
        "environment": {"python": "3.11", "cores": {"usable": 2}, "gpus": []},
        "facts": {"bundle": "3f9c"},
        "story": ["worker 1 was lost at step 5; the gang was started again"],
        "next_steps": ["pileus serve runs/run-7"],
    }
    return ReportContent(**fields | others)


@pytest.fixture(scope="module")
def full_text() -> str:
    return render_report(full())


def test_a_full_page_has_every_part_and_is_well_formed(full_text: str) -> None:
    page = Page(full_text)
    assert page.open == []
    assert page.headings == [
        "Training",
        "Classes",
        "Worst errors",
        "Reliability",
        "Cost of each phase",
        "Story",
        "What to do next",
        "Settings",
        "Environment",
    ]
    assert [svg["aria-label"] for svg in page.named("svg")] == [
        "Loss by epoch",
        "Accuracy by epoch",
        "Learning rate by epoch",
        "Confusion matrix: rows are the truth",
        "Accuracy by confidence",
        "Seconds of each epoch by phase",
    ]
    for told in ("run-7", "strokes_cnn", "embedded:strokes", "ab" * 32, "all_reduce, exact", "3f9c", "optimizer.lr"):
        assert told in page.text
    assert "pileus serve runs/run-7" in page.text and "worker 1 was lost" in page.text


def test_figures_at_the_head_are_computed_from_the_epochs_and_the_test() -> None:
    content = full()
    assert content.test is not None
    text = re.sub(r"[ \n]+", " ", Page(render_report(content)).text)
    low, high = content.test.accuracy_interval
    assert f"{100 * content.test.accuracy:.2f}\N{NO-BREAK SPACE}%" in text
    assert f"{100 * low:.2f} to {100 * high:.2f}\N{NO-BREAK SPACE}% (95 % interval)" in text
    wrong = round(12 * (1 - content.test.accuracy))
    assert f"Errors{wrong}of 12 samples" in text
    assert "Speed500samples a second" in text, "2000 samples in 4 seconds"
    assert "Training4.00 s2\N{NARROW NO-BREAK SPACE}000 samples" in text


def test_costs_have_shares_and_what_no_phase_accounts_for(full_text: str) -> None:
    rows = re.findall(
        r'<th scope="row">([\w-]+)</th><td class="number">([^<]+)</td><td class="number">([^<]+)', full_text
    )
    shares = {phase: (time, share.replace("\N{NO-BREAK SPACE}", " ")) for phase, time, share in rows}
    assert shares["records"] == ("1.00 s", "25.00 %")
    assert shares["compute"] == ("2.00 s", "50.00 %")
    assert shares["other"] == ("1.00 s", "25.00 %")


def test_what_agreeing_with_servers_took_is_told_over_all_epochs() -> None:
    agreement = {"bytes_per_step": 4_321_000.0, "messages_per_step": 4.0, "staleness_0": 30.0}
    later = {**agreement, "staleness_0": 45.0, "staleness_2": 25.0}
    text = render_report(
        ReportContent(run_name="served", epochs=[epoch(0, agreement=agreement), epoch(1, agreement=later)])
    )
    assert re.search(r"Bytes a step, worker 0</th>\s*<td>4.321.000<", text)
    assert re.search(r"Pushes 0 stale</th>\s*<td>75 \(75", text)
    assert re.search(r"Pushes 2 stale</th>\s*<td>25 \(25", text)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.004, "0.00 s"), (59.94, "59.9 s"), (61.4, "1 min 1 s"), (3600 * 2 + 65, "2 h 1 min")]
)
def test_times_are_told_as_people_do(seconds: float, told: str) -> None:
    assert f">{told}<" in render_report(ReportContent(run_name="r", phases_s={"records": seconds}))


def test_the_page_loads_nothing_runs_nothing_and_says_so_to_the_browser(full_text: str) -> None:
    page = Page(full_text)
    (policy,) = [meta["content"] for meta in page.named("meta") if "http-equiv" in meta]
    assert policy is not None and "default-src 'none'" in policy and "script-src" not in policy
    assert page.named("script") == page.named("link") == page.named("iframe") == []
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value is not None and value.startswith(("data:image/png;base64,", "#"))
    assert "@import" not in full_text and "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"|http-equiv', "", full_text)


def test_ids_on_a_page_are_unique(full_text: str) -> None:
    ids = [attributes["id"] for _, attributes in Page(full_text).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0


def test_equal_content_gives_equal_bytes(full_text: str) -> None:
    assert full_text == render_report(full())


def test_every_name_and_text_is_escaped() -> None:
    spec = RunSpec(model=EVIL, data=Data(source=EVIL))
    text = render_report(
        full(
            run_name=EVIL,
            spec=spec,
            epochs=[epoch(0, phases_s={EVIL: 1.0}, fingerprint=EVIL)],
            test=measured(3, EVIL),
            worst=pictures(noise(1, 8, 8, 3), EVIL),
            phases_s={EVIL: 1.0},
            environment={EVIL: {EVIL: EVIL}},
            facts={EVIL: EVIL},
            story=[EVIL],
            next_steps=[EVIL],
        )
    )
    page = Page(text)
    assert [image for image in page.named("img") if image.get("src") == "x"] == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert text.count("&lt;img src=x") >= 20


def test_one_epoch_without_validation_phases_or_test() -> None:
    page = Page(render_report(ReportContent(run_name="r", spec=SPEC, epochs=[epoch(0, phases_s={})])))
    assert page.headings == ["Training", "Story", "Settings"]
    assert "Nothing out of the ordinary" in page.text


def test_a_measurement_alone_tells_nothing_of_training() -> None:
    page = Page(render_report(ReportContent(run_name="r", test=measured())))
    assert page.headings == ["Classes", "Reliability"]


def test_nothing_but_a_name_is_a_page_as_well() -> None:
    page = Page(render_report(ReportContent(run_name="r")))
    assert page.headings == [] and page.open == []


def test_hundreds_of_classes_show_the_weakest_and_fold_away_the_rest() -> None:
    content = full(test=measured(200))
    text = render_report(content)
    head, folded = text.split("<details>")
    assert "The 30 weakest of 200 classes" in head
    assert head.count('<th scope="row">class') == 30 and folded.count('<th scope="row">class') >= 200
    assert content.test is not None
    weakest = min(content.test.per_class, key=lambda one: (one.f1, -one.support))
    assert f'<th scope="row">{weakest.name}</th>' in head
    assert len(text) < 400_000


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_shown_pixel_for_pixel(channels: int) -> None:
    images_NHWC = noise(2, 8, 8, channels)
    shown = Page(render_report(full(worst=pictures(images_NHWC)))).named("img")
    assert [image["class"] for image in shown] == ["small", "small"]
    for image, pixels_HWC in zip(shown, images_NHWC, strict=True):
        decoded = np.asarray(decoded_png(image)).reshape(8, 8, channels)
        np.testing.assert_array_equal(decoded, pixels_HWC)


def test_large_pictures_are_made_smaller() -> None:
    (image,) = Page(render_report(full(worst=pictures(noise(1, 300, 150, 3))))).named("img")
    assert "class" not in image
    assert decoded_png(image).size == (64, 128)


def decoded_png(image: dict[str, str | None]) -> Image.Image:
    source = image["src"]
    assert source is not None
    return Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))


def test_worst_errors_are_wrong_and_the_most_confident_first() -> None:
    probabilities_NK = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], np.float32)
    labels_N = np.array([0, 0, 0, 1, 0])
    assert worst_rows(probabilities_NK, labels_N).tolist() == [1, 4, 2]
    images_NHWC = noise(5, 4, 4, 1)
    errors = worst_errors(images_NHWC, probabilities_NK, labels_N, list("abcde"), ["no", "yes"], most=2)
    assert [(error.id, error.truth, error.predicted) for error in errors] == [("b", "no", "yes"), ("e", "no", "yes")]
    assert errors[0].confidence == pytest.approx(0.8)
    np.testing.assert_array_equal(errors[0].image_HWC, images_NHWC[1])
    assert worst_errors(images_NHWC[:1], probabilities_NK[:1], labels_N[:1], ["a"], ["no", "yes"]) == []
