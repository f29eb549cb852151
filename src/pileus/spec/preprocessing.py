"""How raw input (strokes, a picture file) becomes the model's input; travels in the bundle.

The model's input is always `images_NHWC` uint8; scaling to floats is inside the model's graph.
"""

from __future__ import annotations

from typing import Literal

from pileus.spec.values import Spec


class Drawing(Spec, tag_field="kind", tag="drawing", frozen=True, kw_only=True):
    """Handwriting: white ink on black, one channel. Strokes and pictures of writing are both accepted."""

    height: int = 28
    width: int = 28
    channels: Literal[1] = 1
    box: float = 20.0
    """Pixels: the longer side of the ink's box after aspect-kept scaling."""
    stroke_width: float = 2.2
    """Pixels: the width of a rendered stroke."""


class Picture(Spec, tag_field="kind", tag="picture", frozen=True, kw_only=True):
    """A photograph or any picture file: the central crop of the model's aspect, resized."""

    height: int
    width: int
    channels: Literal[1, 3] = 3


Preprocessing = Drawing | Picture
