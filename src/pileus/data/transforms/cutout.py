"""A black square somewhere in each image (DeVries and Taylor, 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.boxes import inside, values_inside
from pileus.data.transforms.draws import Draws, Family, below


def cut_out(images_NHWC: NDArray[np.uint8], draws: Draws, side: int) -> NDArray[np.uint8]:
    """The square's centre is any pixel with equal chance; what of it is beyond the border is lost."""
    _, height, width, channels = images_NHWC.shape
    centres = draws.of(Family.CUTOUT, 2)
    rows_NH = inside(below(centres[:, 0], height), side, height)
    columns_NW = inside(below(centres[:, 1], width), side, width)
    return images_NHWC * ~values_inside(rows_NH, columns_NW, channels)
