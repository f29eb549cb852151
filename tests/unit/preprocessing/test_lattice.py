"""The best chain of candidates is the best of all chains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pileus.preprocessing.lattice import Candidate, Item, best_chain, chosen, sureness


def candidate(start: int, stop: int, level: int = 0, prior: float = 0.0) -> Candidate:
    return Candidate(start, stop, Item(np.full((1, 1, 1), level, np.uint8), (start, 0, stop - start, 1)), prior)


def by_level(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As sure as the image is light."""
    return np.asarray(images_NHWC.reshape(-1, 1) / 255, np.float32)


@given(st.integers(1, 5), st.data())
def test_it_is_the_best_of_all(num_parts: int, data: st.DataObject) -> None:
    spans = [(start, stop) for start in range(num_parts) for stop in range(start + 1, num_parts + 1)]
    scores = data.draw(st.lists(st.floats(-10, 10), min_size=len(spans), max_size=len(spans)))
    order = data.draw(st.permutations(range(len(spans))))
    candidates = [candidate(*spans[number]) for number in order]
    chain = best_chain(candidates, np.array([scores[number] for number in order]))
    score_of = dict(zip(spans, scores, strict=True))
    best = -np.inf
    for count in range(num_parts):
        for cuts in itertools.combinations(range(1, num_parts), count):
            best = max(best, sum(score_of[pair] for pair in itertools.pairwise((0, *cuts, num_parts))))
    taken = [(candidates[number].start, candidates[number].stop) for number in chain]
    assert [taken[0][0], taken[-1][1]] == [0, num_parts]
    assert all(one[1] == other[0] for one, other in itertools.pairwise(taken))
    assert sum(score_of[span] for span in taken) == pytest.approx(best)


def test_the_model_is_not_asked_where_there_is_no_doubt() -> None:
    def never(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError("asked")

    assert [item.box[0] for item in chosen([candidate(0, 1), candidate(1, 2), candidate(2, 3)], never)] == [0, 1, 2]


def test_the_model_is_asked_once_and_decides() -> None:
    asked: list[int] = []

    def judge(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(len(images_NHWC))
        return by_level(images_NHWC)

    for whole, halves, count in ((250, 30, 1), (30, 250, 2)):
        candidates = [candidate(0, 1, halves), candidate(0, 2, whole), candidate(1, 2, halves)]
        assert len(chosen(candidates, judge)) == count
    assert asked == [3, 3]


def test_of_two_equally_sure_chains_the_shorter_is_taken() -> None:
    assert len(chosen([candidate(0, 1, 255), candidate(0, 2, 255), candidate(1, 2, 255)], by_level)) == 1


def test_what_is_none_for_sure_is_one_item_and_a_doubtful_digit_still_one_of_the_class() -> None:
    classes_NK = np.array([[0.02, 0.01], [0.3, 0.1], [0.9, 0.05]], np.float32)
    none_N = np.array([0.96, 0.5, 0.03], np.float32)
    assert sureness(classes_NK, None) == pytest.approx([0.02, 0.3, 0.9])
    found = sureness(classes_NK, none_N)
    assert found[0] > 0.4
    assert found[1:] == pytest.approx([0.3, 0.9])


def test_without_a_model_the_shape_decides() -> None:
    joined, cut = candidate(0, 2, prior=-0.1), candidate(0, 2, prior=-2.0)
    for whole, count in ((joined, 1), (cut, 2)):
        assert len(chosen([candidate(0, 1), whole, candidate(1, 2)], None)) == count
