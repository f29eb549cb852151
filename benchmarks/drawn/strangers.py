"""What is no digit: some of kinds that training has seen made, most of kinds that it has never seen."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from drawn.answers import Body, belonging, of_picture, of_strokes
from pileus.bundles import Bundle
from pileus.data.ports import Split
from pileus.data.sources.letters import LETTERS
from pileus.data.sources.open import open_source
from pileus.data.sources.outliers import MADE, TURNED, MadeSource
from pileus.data.sources.ports import ListedSource
from pileus.data.sources.scribbles import Lines
from pileus.data.splits import settled_split

AS_TRAINED = "made as for training: "
_VALIDATION = 0.1
"""Of a source without a validation part, as the recipe has it."""

GREEK = "ΓΔΘΛΞΠΣΦΨΩδλμπψω"
"""Letters that no training has seen, and nobody takes for a digit."""
WITH_GREEK = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono"),
    *("STIXGeneral", "STIXGeneralItalic"),
)
FONTS = (*WITH_GREEK, "cmr10", "cmss10", "cmtt10", "cmmi10")
"""Those that matplotlib brings. Training has seen letters drawn, and none printed."""
_NUM_FIGURES = 40
"""Of each shape."""


def images_of(place: str, split: Split) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Images and the names of their classes."""
    source = open_source(place)
    share = _share(source)
    for index in range(len(source)):
        row = source.row(index)
        if settled_split(row.split, row.id, share) == split:
            image = source[index].image
            assert isinstance(image, np.ndarray)
            yield image, source.classes[row.label]


def _share(source: ListedSource) -> float:
    splits = {source.row(index).split for index in range(len(source))}
    return 0.0 if Split.VALIDATION in splits else _VALIDATION


def of_frames(bundle: Bundle, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N,): how far each image, which is the model's input as it is, is taken for one of the classes."""
    return bundle.belonging(bundle.probabilities(np.stack(images)))


def strangers(bundle: Bundle, data: Path, split: Split) -> dict[str, NDArray[np.float32]]:
    """By kind: how far each is taken for a digit."""
    clothes = [image for image, _ in images_of(str(data / "fashion-mnist"), split)]
    turned = list(_turned(images_of(str(data / "mnist"), split)))
    told = {
        "Fashion-MNIST": of_frames(bundle, clothes),
        "MNIST's digits turned": of_frames(bundle, turned),
        "printed letters": belonging(bundle, list(_printed(LETTERS, FONTS))),
        "printed Greek letters": belonging(bundle, list(_printed(GREEK, WITH_GREEK))),
    }
    told |= {f"drawn: {name}": belonging(bundle, list(_figures(name))) for name in FIGURES}
    made: dict[str, list[NDArray[np.uint8]]] = {}
    for outliers in map(MadeSource, MADE):
        for index in range(len(outliers)):
            if outliers.row(index).split == split:
                made.setdefault(outliers.kind_of(index), []).append(
                    outliers.picture(index, split, outliers.preprocessing)
                )
    return told | {f"{AS_TRAINED}{name}": of_frames(bundle, made[name]) for name in sorted(made)}


def _turned(digits: Iterator[tuple[NDArray[np.uint8], str]]) -> Iterator[NDArray[np.uint8]]:
    """Each by all the angles at which it is none."""
    for image_HWC, name in digits:
        for degrees, names in TURNED.items():
            if name in names:
                yield np.ascontiguousarray(np.rot90(image_HWC, -degrees // 90))


def _printed(letters: str, fonts: Sequence[str]) -> Iterator[Body]:
    """Dark on light, each by each font."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in fonts:
        font = ImageFont.truetype(io.BytesIO((folder / f"{name}.ttf").read_bytes()), 140)
        for letter in letters:
            sheet = Image.new("L", (280, 280), 250)
            ImageDraw.Draw(sheet).text((140, 140), letter, fill=20, font=font, anchor="mm")
            yield of_picture(sheet)


def _circle(x: float, y: float, radius: float, turns: float = 1.0) -> list[tuple[float, float]]:
    angles = np.linspace(0.0, 2 * np.pi * turns, round(40 * turns))
    return [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles]


def _spiral() -> list[tuple[float, float]]:
    parts = np.linspace(0.1, 1.0, 90)
    return [(0.5 * part * np.cos(20 * part), 0.5 * part * np.sin(20 * part)) for part in parts]


def _heart() -> list[tuple[float, float]]:
    angles = np.linspace(0.0, 2 * np.pi, 50)
    return [
        (
            0.5 * np.sin(angle) ** 3,
            -(13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)) / 32,
        )
        for angle in angles
    ]


FIGURES: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(0, 1), (0.4, 0), (0.8, 1)], [(0.2, 0.6), (0.6, 0.6)]],
    "E": [[(0.6, 0), (0, 0), (0, 1), (0.6, 1)], [(0, 0.5), (0.5, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(0.7, 0), (0.7, 1)], [(0, 0.5), (0.7, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(0.6, 0), (0, 0.5), (0.6, 1)]],
    "M": [[(0, 1), (0, 0), (0.4, 0.6), (0.8, 0), (0.8, 1)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (0.7, 1)], [(0.7, 0), (0, 1)]],
    "arrow": [[(0, 0.5), (1, 0.5)], [(0.7, 0.2), (1, 0.5), (0.7, 0.8)]],
    "check mark": [[(0, 0.6), (0.3, 1), (1, 0)]],
    "face": [_circle(0, 0, 0.5), [(-0.2, -0.15), (-0.2, -0.1)], [(0.2, -0.15), (0.2, -0.1)], _circle(0, 0, 0.25, 0.5)],
    "heart": [_heart()],
    "house": [[(0, 0.4), (0, 1), (0.8, 1), (0.8, 0.4), (0, 0.4), (0.4, 0), (0.8, 0.4)]],
    "spiral": [_spiral()],
    "star": [[(0.2, 1), (0.5, 0), (0.8, 1), (0, 0.4), (1, 0.4), (0.2, 1)]],
    "triangle": [[(0, 1), (0.5, 0), (1, 1), (0, 1)]],
    "square": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]],
}


def _figures(name: str) -> Iterator[Body]:
    """As many hands draw it: sheared, stretched, turned a little and not quite straight."""
    rng = np.random.default_rng(list(FIGURES).index(name))
    for _ in range(_NUM_FIGURES):
        lean, stretch, angle = rng.uniform(-0.25, 0.25), rng.uniform(0.8, 1.25), np.radians(rng.uniform(-12, 12))
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        change = np.array([[stretch, 0.0], [lean, 1.0]]) @ turned
        yield of_strokes(_uneven([np.array(line, float) @ change for line in FIGURES[name]], rng))


def _uneven(lines: Lines, rng: np.random.Generator) -> Lines:
    """A hundred units high, with corners off their places."""
    return [100 * (line + rng.normal(0.0, 0.03 if len(line) < 10 else 0.005, line.shape)) for line in lines]
