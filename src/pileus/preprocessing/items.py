"""Raw input that may hold several items (digits side by side) to the model's input, one image each.

The image of a drawing with one digit is what `strokes.rasterise` makes of it, that of a picture with one is what
`writing.fit_writing` does: training, which sees single digits, and serving agree.
"""

from __future__ import annotations

from pileus.preprocessing import files
from pileus.preprocessing.drawings import candidates_of_strokes
from pileus.preprocessing.files import MAX_PIXELS
from pileus.preprocessing.lattice import Item, Judge, chosen
from pileus.preprocessing.strings import candidates_of_picture
from pileus.preprocessing.strokes import Strokes
from pileus.spec.preprocessing import Drawing

__all__ = ["Item", "Judge", "items_of_picture", "items_of_strokes"]


def items_of_strokes(strokes: Strokes, spec: Drawing, judge: Judge | None = None) -> list[Item]:
    """From left to right, at least one. `judge` is asked once where the shape leaves a doubt, else not at all.

    UsageError where there is no point, or a coordinate is not finite.
    """
    return chosen(candidates_of_strokes(strokes, spec), judge)


def items_of_picture(
    body: bytes, spec: Drawing, *, max_pixels: int = MAX_PIXELS, judge: Judge | None = None
) -> list[Item]:
    """As `items_of_strokes`, from the bytes of a PNG or JPEG file.

    UsageError for anything else; NoWriting where no ink is seen.
    """
    picture = files.upright(files.opened(body, max_pixels=max_pixels))
    return chosen(candidates_of_picture(picture, spec), judge)
