"""Mixup and cutmix: each sample of a microbatch mixed with its partner, and its label with the partner's.

The partner is the next sample of the microbatch, that of the last the first. The order of samples is itself a random
permutation, so the next is as random a partner as any other, and every sample is the partner of one. A microbatch is
cut from (seed, epoch, step) before the workers are counted, so their number never enters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pileus.data.transforms.beta import TRIES, symmetric_beta
from pileus.data.transforms.boxes import inside, values_inside
from pileus.data.transforms.draws import Draws, Family, below
from pileus.spec.augment import Mix, Mixup

_UNIT = 256


class Pairs(NamedTuple):
    """What mixing made of the labels: sample n counts `weights_N[n]` as its own label, the rest as its partner's."""

    partner_labels_N: NDArray[np.int64]
    weights_N: NDArray[np.float32]
    """In [0, 1]; exactly the part of the sample's own pixels."""


def mixed(
    images_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], draws: Draws, spec: Mix
) -> tuple[NDArray[np.uint8], Pairs]:
    """The mixed images of ONE microbatch and what became of their labels. A microbatch of one stays as it is."""
    chances = draws.of(Family.MIX, 2 * TRIES + 1)
    weights_N = symmetric_beta(chances[:, 1:], spec.alpha)
    weights_N[chances[:, 0] >= spec.probability] = 1.0
    partners_NHWC = np.roll(images_NHWC, -1, axis=0)
    if isinstance(spec, Mixup):
        mixed_NHWC, own_N = _blended(images_NHWC, partners_NHWC, weights_N)
    else:
        mixed_NHWC, own_N = _exchanged(images_NHWC, partners_NHWC, weights_N, draws)
    return mixed_NHWC, Pairs(np.roll(labels_N, -1), own_N.astype(np.float32))


def _blended(
    images_NHWC: NDArray[np.uint8], partners_NHWC: NDArray[np.uint8], weights_N: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Weights are rounded to 1/256 and values to the nearest, halves up."""
    shares_N = np.rint(weights_N * _UNIT).astype(np.uint16)
    shares = shares_N[:, None, None, None]
    total = images_NHWC * shares
    total += partners_NHWC * (_UNIT - shares)
    total += _UNIT // 2
    total >>= 8
    return total.astype(np.uint8), shares_N / _UNIT


def _exchanged(
    images_NHWC: NDArray[np.uint8], partners_NHWC: NDArray[np.uint8], weights_N: NDArray[np.float64], draws: Draws
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The weight that counts is that of the pixels which were not exchanged."""
    _, height, width, channels = images_NHWC.shape
    centres = draws.of(Family.MIX_BOX, 2)
    lengths_N = np.sqrt(1 - weights_N)
    rows_NH = inside(below(centres[:, 0], height), np.rint(lengths_N * height).astype(np.int64), height)
    columns_NW = inside(below(centres[:, 1], width), np.rint(lengths_N * width).astype(np.int64), width)
    gone_N = rows_NH.sum(axis=1) * columns_NW.sum(axis=1)
    own_N = (height * width - gone_N) / (height * width)
    return np.where(values_inside(rows_NH, columns_NW, channels), partners_NHWC, images_NHWC), own_N
