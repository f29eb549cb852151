"""The one order of the transforms: crop, flip, affine and warp, thickness, blur, colour, cutout; then mixing.

The crop is first, so that of a picture file only what is seen need be decoded. Geometry comes before colour, so that
its mean is that of what is seen; what is hidden is exactly black; mixing takes finished images. Up to mixing each image
is a pure function of (seed, epoch, sample key), whatever batch it comes in.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.affine import distorted
from pileus.data.transforms.blur import blurred
from pileus.data.transforms.colour import coloured
from pileus.data.transforms.crop import pad_cropped, resized_cropped
from pileus.data.transforms.cutout import cut_out
from pileus.data.transforms.draws import Draws
from pileus.data.transforms.flip import mirror_in_place, mirrored
from pileus.data.transforms.pen import thickened
from pileus.spec.augment import Augment, PadCrop, ResizedCrop

_PIECE_BYTES = 128 * 1024
"""A batch is worked on in pieces of about so many bytes of pixels: what lies between two steps stays in the cache, and
its memory is not handed back to the system and asked for again at every step."""
_PIECE_ROWS = 4
"""At least: chance is drawn once for each piece."""


def augment(
    images_NHWC: NDArray[np.uint8], draws: Draws, spec: Augment, *, in_place: bool = False
) -> NDArray[np.uint8]:
    """All of `spec` but mixing; same shape as given, the given images themselves where nothing is asked for.

    `in_place`: the given images are what is changed. SpecError where images of this shape cannot be augmented so.
    """
    spec.check(*images_NHWC.shape[1:])
    if not spec.changes_images:
        return images_NHWC
    if in_place and not spec.changes_more_than_sides:
        mirror_in_place(images_NHWC, draws, spec.flip)
        return images_NHWC
    changed_NHWC = images_NHWC if in_place else np.empty_like(images_NHWC)
    num_rows = max(_PIECE_ROWS, _PIECE_BYTES // math.prod(images_NHWC.shape[1:]))
    for start in range(0, len(images_NHWC), num_rows):
        rows = slice(start, start + num_rows)
        changed_NHWC[rows] = _piece(images_NHWC[rows], draws._replace(keys_N=draws.keys_N[rows]), spec)
    return changed_NHWC


def _piece(images_NHWC: NDArray[np.uint8], draws: Draws, spec: Augment) -> NDArray[np.uint8]:
    if isinstance(spec.crop, PadCrop):
        images_NHWC = pad_cropped(images_NHWC, draws, spec.crop)
    if isinstance(spec.crop, ResizedCrop):
        images_NHWC = resized_cropped(images_NHWC, draws, spec.crop)
    if spec.flip:
        images_NHWC = mirrored(images_NHWC, draws, spec.flip)
    if spec.is_affine or spec.warp:
        images_NHWC = distorted(images_NHWC, draws, spec)
    if spec.thickness:
        images_NHWC = thickened(images_NHWC, draws, spec.thickness)
    if spec.blur:
        images_NHWC = blurred(images_NHWC, draws, spec.blur)
    if spec.is_colour:
        images_NHWC = coloured(images_NHWC, draws, spec)
    if spec.cutout:
        images_NHWC = cut_out(images_NHWC, draws, spec.cutout)
    return images_NHWC
