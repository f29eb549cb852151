"""What is no digit: many kinds, each sample a pure function of its number, made from the writers of its split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pileus.data.ports import Split
from pileus.data.sources import outliers
from pileus.data.sources.outliers import kind_of, open_outliers, outlier
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.spec.preprocessing import Drawing

_MANY = 300


def test_all_are_of_no_class() -> None:
    source = open_outliers()
    rows = [source.row(index) for index in range(len(source))]
    assert {source.classes[row.label] for row in rows} == {"none"}
    assert Counter(row.split for row in rows) == {Split.TRAIN: 14_000, Split.VALIDATION: 2_000, Split.TEST: 2_000}


def test_many_of_them_differ_and_nearly_all_show_something() -> None:
    pictures = [outlier(index, Split.TRAIN, Drawing()) for index in range(_MANY)]
    assert {picture.shape for picture in pictures} == {(28, 28, 1)}
    assert len({picture.tobytes() for picture in pictures}) > 0.95 * _MANY, "blanks alone are alike"
    assert np.mean([picture.max() > 100 for picture in pictures]) > 0.9


def test_how_each_is_made_can_be_told() -> None:
    kinds = [kind_of(index) for index in range(_MANY)]
    assert {"turned", "beside", "mark", "scribble", "blank", "filled"} <= set(kinds)
    blanks = [outlier(index, Split.TRAIN, Drawing()) for index in range(_MANY) if kinds[index] == "blank"]
    assert all(picture.max() <= 90 for picture in blanks)


def test_each_is_the_same_at_any_time_and_for_any_size() -> None:
    first = outlier(5, Split.TRAIN, Drawing())
    outlier(6, Split.TRAIN, Drawing())
    assert np.array_equal(first, outlier(5, Split.TRAIN, Drawing()))
    assert outlier(5, Split.TRAIN, Drawing(height=40, width=36)).shape == (40, 36, 1)


def test_no_writer_of_one_split_is_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Split] = []

    def load(split: Split) -> list[DrawnDigit]:
        asked.append(split)
        return load_strokes(split)

    monkeypatch.setattr(outliers, "_digits", load)
    source = open_outliers()
    for index in (*range(14_000, 14_040), *range(16_000, 16_040)):
        asked.clear()
        split = source[index].split
        assert set(asked) <= {split}


@pytest.mark.parametrize("split", Split)
def test_the_draws_suffice_for_the_longest(split: Split) -> None:
    """Each is given a bounded number of draws, and asks for more in no sample of the source."""
    for index in range(_MANY):
        outlier(index, split, Drawing())
