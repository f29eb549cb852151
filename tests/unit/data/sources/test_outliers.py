"""What is no digit, or several: many kinds, each sample a pure function of its number, by the writers of its split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pileus.data.ports import Split
from pileus.data.sources import outliers
from pileus.data.sources.letters import LETTERS
from pileus.data.sources.outliers import MADE, MadeSource
from pileus.data.sources.strokes import DrawnDigit, load_strokes
from pileus.spec.preprocessing import Drawing

_MANY = 300


@pytest.fixture(params=MADE)
def source(request: pytest.FixtureRequest) -> MadeSource:
    return MadeSource(request.param)


@pytest.mark.parametrize(
    ("kind", "name", "counts"),
    [("embedded:outliers", "none", (15_000, 1_500, 1_500)), ("embedded:several", "several", (4_000, 500, 500))],
)
def test_all_are_of_no_class_of_digits(kind: str, name: str, counts: tuple[int, int, int]) -> None:
    source = MadeSource(kind)
    rows = [source.row(index) for index in range(len(source))]
    assert {source.classes[row.label] for row in rows} == {name}
    assert Counter(row.split for row in rows) == dict(zip(Split, counts, strict=True))


def test_many_of_them_differ_and_nearly_all_show_something(source: MadeSource) -> None:
    pictures = [source.picture(index, Split.TRAIN, Drawing()) for index in range(_MANY)]
    assert {picture.shape for picture in pictures} == {(28, 28, 1)}
    assert len({picture.tobytes() for picture in pictures}) > 0.95 * _MANY, "blanks alone are alike"
    assert np.mean([picture.max() > 100 for picture in pictures]) > 0.9


def test_how_each_is_made_can_be_told() -> None:
    source = MadeSource("embedded:outliers")
    kinds = [source.kind_of(index) for index in range(_MANY)]
    assert {"letter", "turned", "mark", "scribble", "blank", "filled"} <= set(kinds)
    blanks = [source.picture(index, Split.TRAIN, Drawing()) for index in range(_MANY) if kinds[index] == "blank"]
    assert all(picture.max() <= 90 for picture in blanks)


def test_no_letter_passes_for_a_digit() -> None:
    assert not set(LETTERS) & set("BbDGgIiJjLlOoQqSsTtyZz0123456789")
    assert len(LETTERS) == 30


def test_each_is_the_same_at_any_time_and_for_any_size(source: MadeSource) -> None:
    first = source.picture(5, Split.TRAIN, Drawing())
    source.picture(6, Split.TRAIN, Drawing())
    assert np.array_equal(first, source.picture(5, Split.TRAIN, Drawing()))
    assert source.picture(5, Split.TRAIN, Drawing(height=40, width=36)).shape == (40, 36, 1)


def test_no_writer_of_one_split_is_in_another(source: MadeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Split] = []

    def load(split: Split) -> list[DrawnDigit]:
        asked.append(split)
        return load_strokes(split)

    monkeypatch.setattr(outliers, "_digits", load)
    for index in np.linspace(0, len(source) - 1, 200, dtype=int).tolist():
        asked.clear()
        split = source[index].split
        assert set(asked) <= {split}


@pytest.mark.parametrize("split", Split)
def test_the_draws_suffice_for_the_longest(source: MadeSource, split: Split) -> None:
    """Each is given a bounded number of draws, and asks for more in no sample of the source."""
    for index in range(_MANY):
        source.picture(index, split, Drawing())
