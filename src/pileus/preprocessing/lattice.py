"""Where one item ends and the next begins, when shape alone cannot tell: the ways to cut, and the best of them.

The input is cut into more parts than it has items, from left to right. A candidate is a run of neighbouring parts taken
as one item. The model says of each how sure it is, in one call, and a dynamic programme finds the chain of candidates
that covers all parts and is most probable together (over-segmentation as in LeCun et al., "Gradient-based learning
applied to document recognition", 1998, sections V and VI).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x, y, width, height in the units of the input."""

Judge = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From images (N, H, W, C) to (N, K) probabilities; what a row lacks to 1 is that of no class at all."""

_LEAST_PROBABILITY = 1e-4
_BETTER_ONE = 0.35
"""Nats for each item less: of two chains that are equally sure, the shorter one is the better."""
_NONE = 0.5
"""Weight of the probability of none: pieces of a digit are none for sure, and yet not what is to be found. Chosen by
letters and by the half of the cheques that is tuned on: see docs/internals/drawings.md."""


class Item(NamedTuple):
    image_HWC: NDArray[np.uint8]
    """(H, W, C), the model's input."""
    box: Box


class Candidate(NamedTuple):
    """The parts [start, stop) as one item."""

    start: int
    stop: int
    item: Item
    prior: float = 0.0
    """Nats: what the shape alone says for it."""


def chosen(candidates: list[Candidate], judge: Judge | None) -> list[Item]:
    """The best chain, from left to right. There must be one; `judge` is asked where there are several, once."""
    if _is_one_chain(candidates):
        return [candidate.item for candidate in candidates]
    scores_N = np.array([candidate.prior for candidate in candidates])
    if judge is not None:
        highest_N = judge(np.stack([candidate.item.image_HWC for candidate in candidates])).max(axis=1)
        scores_N += np.log(np.maximum(highest_N.astype(np.float64), _LEAST_PROBABILITY))
    return [candidates[number].item for number in best_chain(candidates, scores_N - _BETTER_ONE)]


def sureness(classes_NK: NDArray[np.float32], none_N: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """(N,): how surely each image is one item, of a class or, by a model that tells several items from none, of none.

    Else a letter would be cut until its parts are digits: an M into three ones.
    """
    highest_N = np.asarray(classes_NK.max(axis=1, initial=0.0))
    return highest_N if none_N is None else np.maximum(highest_N, _NONE * none_N)


def _is_one_chain(candidates: list[Candidate]) -> bool:
    return [candidate.start for candidate in candidates[1:]] == [candidate.stop for candidate in candidates[:-1]]


def best_chain(candidates: list[Candidate], scores_N: NDArray[np.float64]) -> list[int]:
    """The numbers of the candidates, from left to right, that cover all parts with the highest sum of scores."""
    end = max(candidate.stop for candidate in candidates)
    best = [0.0] + [-np.inf] * end
    last = [-1] * (end + 1)
    for number in sorted(range(len(candidates)), key=lambda number: candidates[number].start):
        start, stop = candidates[number].start, candidates[number].stop
        score = best[start] + float(scores_N[number])
        if score > best[stop]:
            best[stop], last[stop] = score, number
    chain: list[int] = []
    place = end
    while place > 0:
        chain.append(last[place])
        place = candidates[last[place]].start
    return chain[::-1]
