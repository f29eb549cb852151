"""The figures as the page gets them: well-formed, deterministic, of the page's own colour, and no more than figures."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import matplotlib
import msgspec
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pileus.measure import figures
from pileus.measure.classification import Classification, measure_classification, shortened
from pileus.spec.job import EpochDone

SVG = "{http://www.w3.org/2000/svg}"


def epochs(num_epochs: int, *, validation: bool = True) -> list[EpochDone]:
    return [
        EpochDone(
            epoch=n,
            step=10 * (n + 1),
            samples=640 * (n + 1),
            train_loss=2.0 * 0.5**n,
            train_accuracy=1 - 0.5 ** (n + 1),
            validation_loss=2.2 * 0.6**n if validation else None,
            validation_accuracy=1 - 0.6 ** (n + 1) if validation else None,
            lr=0.1 / (n + 1),
            seconds=1.5,
            phases_s={"data": 0.25, "compute": 1.0},
            fingerprint="ab" * 32,
        )
        for n in range(num_epochs)
    ]


def measured(num_classes: int = 3, name: str = "class") -> Classification:
    rng = np.random.default_rng(3)
    probabilities_NK = rng.dirichlet(np.full(num_classes, 0.3), 4 * num_classes).astype(np.float32)
    labels_N = np.arange(4 * num_classes) % num_classes
    return measure_classification(probabilities_NK, labels_N, [f"{name}{k}" for k in range(num_classes)])


ALL: dict[str, Callable[[], str]] = {
    "loss": lambda: figures.loss_curve(epochs(4), measured()),
    "accuracy": lambda: figures.accuracy_curve(epochs(4), measured()),
    "lr": lambda: figures.lr_curve(epochs(4)),
    "phases": lambda: figures.phase_bars(epochs(4)),
    "reliability": lambda: figures.reliability_diagram(measured()),
    "confusion": lambda: figures.confusion_matrix(measured()),
}


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {name: draw() for name, draw in ALL.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_one_element_with_a_name_and_equal_bytes_each_time(name: str, drawn: dict[str, str]) -> None:
    svg = drawn[name]
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.get("role") == "img" and root.get("aria-label")
    assert svg == ALL[name]()
    assert "currentColor" in svg and figures.INK not in svg
    assert not re.search(r"<metadata|<script|\d{4}-\d\d-\d\dT", svg)


def test_ids_of_all_figures_are_different_and_every_reference_has_its_target(drawn: dict[str, str]) -> None:
    page = "".join(drawn.values())
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:url\(|href=")#([^")]+)', page)
    assert targets and set(targets) <= set(ids)


def test_nothing_is_loaded_from_elsewhere(drawn: dict[str, str]) -> None:
    page = "".join(drawn.values())
    links = [link for link in re.findall(r'(?:href|src)="([^"]*)"', page) if not link.startswith(("#", "data:"))]
    assert links == []


def test_curves_name_their_series_and_leave_out_what_there_is_not() -> None:
    assert {"train", "validation", "test", "epoch"} <= set(texts(figures.loss_curve(epochs(3), measured())))
    bare = texts(figures.accuracy_curve(epochs(3, validation=False)))
    assert "train" in bare and "validation" not in bare and "test" not in bare


def test_a_single_epoch_is_a_point_that_can_be_seen() -> None:
    svg = figures.loss_curve(epochs(1, validation=False))
    assert "<use" in svg, "markers are drawn by use"
    assert "1" in texts(svg)


def test_a_validation_that_began_late_and_a_loss_that_is_not_finite_leave_gaps() -> None:
    given = epochs(4)
    given[0] = msgspec.structs.replace(given[0], validation_loss=None, train_loss=math.nan)
    assert "validation" in texts(figures.loss_curve(given))
    hopeless = [msgspec.structs.replace(epoch, train_loss=math.nan) for epoch in epochs(2, validation=False)]
    assert "train" in texts(figures.loss_curve(hopeless))


def test_a_loss_that_falls_far_is_on_a_logarithmic_axis_with_plain_numbers() -> None:
    shown = texts(figures.loss_curve(epochs(12)))
    assert {"0.01", "0.1", "1"} <= set(shown)
    assert not any("$" in text for text in shown)


def test_every_phase_of_any_epoch_is_in_the_bars() -> None:
    given = epochs(2)
    given[1] = msgspec.structs.replace(given[1], phases_s={"compute": 1.0, "_checkpoint": 0.5})
    assert {"data", "compute", "checkpoint"} <= set(texts(figures.phase_bars(given)))


def test_small_matrices_show_their_numbers_and_names() -> None:
    one = measure_classification(np.eye(2, dtype=np.float32)[[0, 0, 0, 1]], np.array([0, 0, 1, 1]), ("cat", "dog"))
    shown = texts(figures.confusion_matrix(one))
    assert sorted(shown) == sorted(["cat", "dog", "cat", "dog", "2", "1", "1", "predicted", "truth"])


def test_large_matrices_show_neither() -> None:
    many = figures.confusion_matrix(measured(figures.MOST_NUMBERED + 1))
    assert "class0" in texts(many)
    assert len(texts(many)) == 2 * (figures.MOST_NUMBERED + 1) + 2
    huge = figures.confusion_matrix(measured(300))
    assert not any("class" in text for text in texts(huge))
    assert len(huge) < 200_000


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "$x^{2", "a&b", "</svg>", 'x" id="y', "日本", "_hidden", "url(#a)", figures.INK],
)
def test_names_are_text_and_nothing_else(name: str) -> None:
    svg = figures.confusion_matrix(measured(2, name))
    shown = texts(svg)
    assert shortened(f"{name}0", 16) in shown
    assert "<script" not in svg


def test_the_settings_of_the_process_are_as_before() -> None:
    before = dict(matplotlib.rcParams)
    figures.lr_curve(epochs(2))
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_loaded_only_to_draw_and_its_global_interface_never() -> None:
    code = (
        "import sys; from pileus.measure import figures as f; assert 'matplotlib' not in sys.modules;"
        "f.lr_curve([]); assert 'matplotlib' in sys.modules; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def labelled(label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot([1, 2], [1, 2], label="line")
    axes.set_ylabel(f"{label}\nin two lines")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figures._fill(figure, axes)
    return figure, axes


def test_labels_and_legend_fill_the_figure_and_nothing_is_cut() -> None:
    figure, axes = labelled("label")
    taken = axes.get_tightbbox()
    assert taken is not None
    assert 0 <= taken.x0 < taken.x1 <= figure.bbox.width and 0 <= taken.y0 < taken.y1 <= figure.bbox.height
    assert taken.width > 0.96 * figure.bbox.width and taken.height > 0.96 * figure.bbox.height


def test_where_labels_leave_no_room_the_axes_stay_as_they_are() -> None:
    axes = labelled("\n".join("abcdefghijklmnopqrstuvwxyz"))[1]
    assert axes.get_position().bounds == Figure(figsize=(4, 3)).add_subplot().get_position().bounds
