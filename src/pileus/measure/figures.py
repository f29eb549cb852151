"""The pictures of a report, as SVG that is set into a page: text stays text, and takes the page's colour. Some of them
as PNG too, for TensorBoard and for a run's folder.

The one adapter of matplotlib, by its object interface: no backend is chosen for the process, nothing is shown.
Equal figures give equal bytes: ids are hashed with a fixed salt, and no date is written.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pileus.errors import MissingExtra
from pileus.measure.classification import Classification, shortened
from pileus.measure.worst import WorstError
from pileus.spec.job import EpochDone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERED = 20
"""Classes up to which each cell of a confusion matrix shows its number."""

_MOST_NAMED = 40
"""Classes up to which the axes of a confusion matrix show their names."""
_NAME_WIDTH = 16
_WORST_COLUMNS = 8
_WORST_NAME_WIDTH = 9
INK = "#010203"
"""Stands for the page's own text colour until the SVG is written."""
_TRAIN, _VALIDATION, _TEST = "#3d85d8", "#e08a1e", "#2ca25f"
_CELL = (0.13, 0.42, 0.74)
"""Red, green, blue of a cell; the count is in its opacity, so that it stands out on light and dark."""
COLOURS = ("#3d85d8", "#e08a1e", "#2ca25f", "#b05cc6", "#c94f4f", "#7d8ca3", "#c9a227", "#39b3b3")
_INKED = ("axes.edgecolor", "axes.labelcolor", "grid.color", "text.color", "xtick.color", "ytick.color")
_STYLE = {
    "svg.hashsalt": "pileus",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "lines.markersize": 4.0,
    "grid.alpha": 0.18,
    "legend.frameon": False,
    **dict.fromkeys(_INKED, INK),
}
_RASTER_DPI = 160
"""Of what is not drawn as lines: the cells of a confusion matrix."""
_PAD_IN = 1 / 24
"""Around all that is drawn."""
_LOG_FROM_RATIO = 30.0
"""A loss that falls by more is drawn on a logarithmic axis."""


def loss_curve(epochs: Sequence[EpochDone], test: Classification | None = None) -> str:
    """Loss of training and, where there are, validation and test, by epoch."""
    series = _series(epochs, "train_loss", "validation_loss", test.log_loss if test else None)

    def draw(axes: Axes) -> None:
        _draw_series(axes, epochs, series)
        values = [value for _, values, _ in series for value in values if math.isfinite(value)]
        if values and min(values) > 0 and max(values) > _LOG_FROM_RATIO * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_ylabel("loss (nats)")

    return drawn("loss", "Loss by epoch", draw, size=(5.6, 3.3))


def accuracy_curve(epochs: Sequence[EpochDone], test: Classification | None = None) -> str:
    """Accuracy in per cent, by epoch."""
    series = _series(epochs, "train_accuracy", "validation_accuracy", test.accuracy if test else None)

    def draw(axes: Axes) -> None:
        _draw_series(
            axes, epochs, [(name, [100 * value for value in values], colour) for name, values, colour in series]
        )
        axes.set_ylabel("accuracy (%)")

    return drawn("accuracy", "Accuracy by epoch", draw, size=(5.6, 3.3))


def neighbours_curve(accuracy_by_k: Sequence[float]) -> str:
    """Accuracy on the validation part in per cent, of 1, 2, ... neighbours."""
    return drawn("neighbours", "Accuracy by number of neighbours", _by_k(accuracy_by_k), size=(5.6, 3.3))


def neighbours_picture(accuracy_by_k: Sequence[float]) -> bytes:
    """`neighbours_curve` as a PNG on white."""
    return painted(_by_k(accuracy_by_k), size=(5.6, 3.3))


def _by_k(accuracy_by_k: Sequence[float]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        numbers = range(1, len(accuracy_by_k) + 1)
        axes.plot(numbers, [100 * accuracy for accuracy in accuracy_by_k], color=_VALIDATION, marker="o")
        axes.set(xlabel="neighbours", ylabel="accuracy (%)")
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)

    return draw


def lr_curve(epochs: Sequence[EpochDone]) -> str:
    """Learning rate at the end of each epoch."""

    def draw(axes: Axes) -> None:
        axes.plot(_numbers(epochs), [epoch.lr for epoch in epochs], color=_TRAIN, marker=_marker(epochs))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("learning rate")
        _count_epochs(axes)

    return drawn("lr", "Learning rate by epoch", draw, size=(5.6, 2.4))


def phase_bars(epochs: Sequence[EpochDone]) -> str:
    """Seconds of each epoch, stacked by phase, the longest at the bottom."""
    total_s: Counter[str] = Counter()
    for epoch in epochs:
        total_s.update(epoch.phases_s)
    phases = [phase for phase, _ in total_s.most_common()]

    def draw(axes: Axes) -> None:
        bottom = np.zeros(len(epochs))
        for place, phase in enumerate(phases):
            seconds = np.array([epoch.phases_s.get(phase, 0.0) for epoch in epochs])
            colour = COLOURS[place % len(COLOURS)]
            axes.bar(_numbers(epochs), seconds, 0.8, bottom, label=phase.lstrip("_"), color=colour)
            bottom += seconds
        axes.set_ylabel("seconds")
        _count_epochs(axes)
        if phases:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return drawn("phases", "Seconds of each epoch by phase", draw, size=(7.0, 3.0))


def reliability_diagram(measured: Classification) -> str:
    """Share of right answers by confidence; the more answers, the larger the point."""
    bins = [one for one in measured.reliability if one.count]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":", label="confidence = accuracy")
        width = measured.reliability[0].high
        shares = [one.count / measured.num_samples for one in measured.reliability]
        left = [one.low for one in measured.reliability]
        axes.bar(left, shares, width, align="edge", color=_VALIDATION, alpha=0.35, label="share of answers")
        confidence, accuracy = [one.confidence for one in bins], [one.accuracy for one in bins]
        weights = [12 + 160 * one.count / measured.num_samples for one in bins]
        axes.plot(confidence, accuracy, color=_TRAIN, linewidth=0.8, alpha=0.6)
        axes.scatter(confidence, accuracy, weights, color=_TRAIN, label="accuracy", zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy; share of answers")
        axes.legend(loc="upper left")

    return drawn("reliability", "Accuracy by confidence", draw, size=(5.2, 4.2))


def confusion_matrix(measured: Classification) -> str:
    """Counts on a logarithmic scale of colour; empty cells are empty. Numbers and names where they fit."""
    draw, size = _confusion_drawing(measured)
    return drawn("confusion", "Confusion matrix: rows are the truth", draw, size=size)


def confusion_picture(measured: Classification) -> bytes:
    """`confusion_matrix` as a PNG on white."""
    draw, size = _confusion_drawing(measured)
    return painted(draw, size=size)


def worst_picture(errors: Sequence[WorstError]) -> bytes:
    """A PNG on white of samples that were answered wrongly, each with its truth, the answer and its confidence."""
    columns = min(len(errors), _WORST_COLUMNS)
    rows = math.ceil(len(errors) / columns)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        for place, error in enumerate(errors):
            row, column = divmod(place, columns)
            height, width = np.array(error.image_HWC.shape[:2]) / max(error.image_HWC.shape[:2])
            box = (column + 0.5 - 0.39 * width, column + 0.5 + 0.39 * width, row + 0.06 + 0.78 * height, row + 0.06)
            axes.imshow(error.image_HWC, cmap="gray", vmin=0, vmax=255, extent=box, interpolation="nearest")
            truth, predicted = (shortened(name, _WORST_NAME_WIDTH) for name in (error.truth, error.predicted))
            told = f"{truth} → {predicted}\n{error.confidence:.1%}"
            axes.text(column + 0.5, row + 0.86, told, ha="center", va="top", fontsize=6, linespacing=0.95)
        axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")

    return painted(draw, size=(1.1 * columns, 1.1 * rows))


def _confusion_drawing(measured: Classification) -> tuple[Callable[[Axes], None], tuple[float, float]]:
    """What draws it, and its size in inches."""
    counts_KK = np.array(measured.confusion_KK)
    num_classes = len(counts_KK)
    strength_KK = np.log1p(counts_KK) / max(float(np.log1p(counts_KK.max())), 1e-9)

    def draw(axes: Axes) -> None:
        axes.grid(False)
        shades_KK4 = np.empty((num_classes, num_classes, 4))
        shades_KK4[..., :3] = _CELL
        shades_KK4[..., 3] = np.where(counts_KK > 0, 0.18 + 0.82 * strength_KK, 0.0)
        axes.imshow(shades_KK4, interpolation="nearest", aspect="equal")
        axes.set(xlabel="predicted", ylabel="truth")
        if num_classes <= _MOST_NAMED:
            names = [shortened(name, _NAME_WIDTH) for name in measured.classes]
            rotation = 90 if max(len(name) for name in names) > 3 else 0
            axes.set_xticks(range(num_classes), names, rotation=rotation)
            axes.set_yticks(range(num_classes), names)
        if num_classes <= MOST_NUMBERED:
            _write_counts(axes, counts_KK, strength_KK)

    side = min(8.0, 2.4 + 0.36 * num_classes) if num_classes <= _MOST_NAMED else 7.0
    return draw, (side, side)


def _write_counts(axes: Axes, counts_KK: NDArray[np.int64], strength_KK: NDArray[np.float64]) -> None:
    size = 9 if len(counts_KK) <= 12 else 7
    for truth, predicted in np.argwhere(counts_KK):
        colour = "#ffffff" if strength_KK[truth, predicted] > 0.5 else INK
        text = str(counts_KK[truth, predicted])
        axes.text(predicted, truth, text, ha="center", va="center", color=colour, fontsize=size)


Series = tuple[str, list[float], str]


def _series(epochs: Sequence[EpochDone], train: str, validation: str, test: float | None) -> list[Series]:
    """(name, values, colour); values by epoch, NaN where an epoch has none. The test has one, after the last epoch."""
    found: list[Series] = [("train", [float(getattr(epoch, train)) for epoch in epochs], _TRAIN)]
    held = [getattr(epoch, validation) for epoch in epochs]
    if any(value is not None for value in held):
        found.append(("validation", [math.nan if value is None else value for value in held], _VALIDATION))
    if test is not None:
        found.append(("test", [test], _TEST))
    return found


def _draw_series(axes: Axes, epochs: Sequence[EpochDone], series: Sequence[Series]) -> None:
    numbers = _numbers(epochs)
    for name, values, colour in series:
        if name == "test":
            axes.plot(numbers[-1:], values, color=colour, marker="D", markersize=6, linestyle="none", label=name)
        else:
            axes.plot(numbers, values, color=colour, marker=_marker(epochs), label=name)
    _count_epochs(axes)
    axes.legend()


def _numbers(epochs: Sequence[EpochDone]) -> list[int]:
    return [epoch.epoch + 1 for epoch in epochs]


def _marker(epochs: Sequence[EpochDone]) -> str:
    return "o" if len(epochs) <= 30 else ""


def _count_epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)


def drawn(name: str, label: str, draw: Callable[[Axes], None], *, size: tuple[float, float]) -> str:
    """The SVG element of one figure, in inches of `size`; ids begin with `name` so that figures share a page."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    document = _saved(draw, size, format="svg", dpi=_RASTER_DPI, transparent=True, metadata=nothing)
    return _as_element(document.decode(), name, label)


def painted(draw: Callable[[Axes], None], *, size: tuple[float, float]) -> bytes:
    """A PNG of one figure on white, in inches of `size`."""
    return _saved(draw, size, format="png", dpi=_RASTER_DPI, facecolor="white", metadata={"Software": None})


def _saved(draw: Callable[[Axes], None], size: tuple[float, float], **how: Any) -> bytes:
    matplotlib, figure_class = _load_matplotlib()
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The browser has glyphs that matplotlib's font has not; only its layout is a little off.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = figure_class(figsize=size)
        axes = figure.add_subplot()
        draw(axes)
        if figure.legends:
            figure.set_layout_engine("constrained")
        else:
            _fill(figure, axes)
        figure.savefig(buffer, **how)
    return buffer.getvalue()


def _fill(figure: Figure, axes: Axes) -> None:
    """Give the axes all that their labels leave of the figure; where that is nothing, they stay as they are.

    As the constrained layout of matplotlib does, which finds room for a figure's own legends as well, and takes as long
    as all the drawing again.
    """
    whole, taken, inner = figure.bbox, axes.get_tightbbox(), axes.get_window_extent()
    assert taken is not None
    pad = _PAD_IN * figure.dpi
    left, right = inner.x0 - taken.x0 + pad, taken.x1 - inner.x1 + pad
    bottom, top = inner.y0 - taken.y0 + pad, taken.y1 - inner.y1 + pad
    if left + right < whole.width and bottom + top < whole.height:
        figure.subplots_adjust(
            left / whole.width, bottom / whole.height, 1 - right / whole.width, 1 - top / whole.height
        )


def _load_matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib  # noqa: PLC0415 - of the extra train, and slow to load; this is its one adapter
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("a report", "matplotlib", "train") from error
    return matplotlib, Figure


def _as_element(document: str, name: str, label: str) -> str:
    """From a document of its own to an element of a page."""

    def adapted(tag: re.Match[str]) -> str:
        own = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", tag[0])
        return own.replace(INK, "currentColor")

    svg = re.sub(r"<[^>]*>", adapted, document[document.index("<svg") :])
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" class="figure-{name}" ', 1)


class Spreads(Protocol):
    """Of a figure over several rounds."""

    @property
    def median(self) -> float: ...

    @property
    def min(self) -> float: ...

    @property
    def max(self) -> float: ...


def draw_medians(axes: Axes, places: Sequence[float], spreads: Sequence[Spreads], colour: str, name: str) -> None:
    """A line of medians, with bars from the least to the greatest round."""
    axes.errorbar(
        places,
        [spread.median for spread in spreads],
        yerr=[
            [spread.median - spread.min for spread in spreads],
            [spread.max - spread.median for spread in spreads],
        ],
        marker="o",
        capsize=3,
        color=colour,
        label=name,
    )
