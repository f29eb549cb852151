"""k nearest neighbours, plainly: every distance, in whole numbers, and a sort.

The truth that `pileus.models.neighbours` and the graph of its bundle are compared with. Nothing of the package is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def nearest(
    images_MD: NDArray[np.uint8], queries_ND: NDArray[np.uint8], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Squared distances and indices, (N, k): the nearest first, of equally near ones that of the lower index."""
    distances, indices = [], []
    for query_D in queries_ND:
        apart_MD = images_MD.astype(np.int32) - query_D
        distance_M = (apart_MD * apart_MD).sum(axis=1, dtype=np.int64)
        order = np.argsort(distance_M, kind="stable")[:k]
        distances.append(distance_M[order])
        indices.append(order)
    return np.array(distances), np.array(indices)


def winner(labels: Sequence[int]) -> int:
    """The class with the most votes; of equally many, that which comes first. Labels are of the nearest first."""
    return max(dict.fromkeys(labels), key=lambda label: (list(labels).count(label), -list(labels).index(label)))


def logits(labels: Sequence[int], num_classes: int, prior_votes: float) -> list[float]:
    """log of votes, half a vote by the nearness of a class's nearest, and what every class has."""
    found = []
    for label in range(num_classes):
        votes = list(labels).count(label)
        nearness = (len(labels) - list(labels).index(label)) / len(labels) if votes else 0.0
        found.append(math.log(votes + nearness / 2 + prior_votes))
    return found
