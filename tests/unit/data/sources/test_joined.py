"""Several sources as one: whose samples, under which labels, in which split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pileus.data.ports import Split
from pileus.data.sources.idx import open_idx
from pileus.data.sources.joined import JoinedSource, Joint, join
from pileus.data.sources.open import open_source
from pileus.data.splits import settled_split
from pileus.errors import SourceError
from tests.contracts.tiny import write_folder, write_idx


@pytest.fixture
def tiny(tmp_path: Path) -> Joint:
    """Twelve samples of train, five of test, classes 0 to 2."""
    return Joint("tiny", open_idx(write_idx(tmp_path / "tiny")))


def splits(source: JoinedSource) -> Counter[Split | None]:
    return Counter(source.row(index).split for index in range(len(source)))


def test_the_samples_are_those_of_the_sources_in_order(tiny: Joint) -> None:
    strokes = Joint("strokes", open_source("embedded:strokes"))
    joined = join([strokes, tiny], none=None, validation=0.0)
    assert len(joined) == 7494 + 17
    assert joined.row(0).id == f"0/{strokes.source.row(0).id}"
    assert joined[7494].id == f"1/{tiny.source.row(0).id}"
    assert joined.classes == strokes.source.classes
    assert joined.preprocessing is None, "images of two shapes"


def test_validation_is_cut_only_where_there_is_none(tiny: Joint) -> None:
    """By the sample's own id, so that evaluating the source alone finds the same split."""
    strokes = Joint("strokes", open_source("embedded:strokes"))
    joined = join([strokes, tiny], none=None, validation=0.5)
    wanted = Counter(settled_split(tiny.source.row(index).split, tiny.source.row(index).id, 0.5) for index in range(17))
    assert wanted[Split.VALIDATION] > 0
    assert splits(joined) == Counter({Split.TRAIN: 4995, Split.VALIDATION: 1000, Split.TEST: 1499}) + wanted


def test_a_repeated_source_gives_training_samples_alone(tiny: Joint) -> None:
    once, twice = (join([tiny] * times, none=None, validation=0.0) for times in (1, 2))
    assert splits(once) == {Split.TRAIN: 12, Split.TEST: 5}
    assert splits(twice) == {Split.TRAIN: 24, Split.TEST: 5}
    assert once.fingerprint != twice.fingerprint


def test_what_is_none_is_the_last_class() -> None:
    outliers = Joint("outliers", open_source("embedded:outliers"))
    strokes = Joint("strokes", open_source("embedded:strokes"))
    for joints in ([strokes, outliers], [outliers, strokes]):
        joined = join(joints, none="none", validation=0.0)
        assert joined.classes == (*"0123456789", "none")
        labels = Counter(joined.row(index).label for index in range(len(joined)))
        assert labels[10] == len(outliers.source)
        assert joined.preprocessing == strokes.source.preprocessing


def test_what_is_several_follows_what_is_none() -> None:
    joints = [Joint(name, open_source(f"embedded:{name}")) for name in ("strokes", "several", "outliers")]
    joined = join(joints, none="none", several="several", validation=0.0)
    assert joined.classes == (*"0123456789", "none", "several")
    labels = Counter(joined.row(index).label for index in range(len(joined)))
    assert (labels[10], labels[11]) == (len(joints[2].source), len(joints[1].source))


def test_none_may_be_any_class_of_one_source(tiny: Joint) -> None:
    joined = join([tiny], none="0", validation=0.0)
    assert joined.classes == (*"123456789", "0")
    assert [joined.row(index).label for index in range(3)] == [9, 0, 1]


def test_classes_that_do_not_fit_are_told(tiny: Joint, tmp_path: Path) -> None:
    animals = Joint("animals", open_source(str(write_folder(tmp_path / "animals"))))
    with pytest.raises(SourceError, match=r"classes of the first, tiny \(got 'cat' in animals\)"):
        join([tiny, animals], none=None, validation=0.0)
    with pytest.raises(SourceError, match=r"got 'nothing', which is in none"):
        join([tiny], none="nothing", validation=0.0)
    with pytest.raises(SourceError, match=r"data.several is a class of a source \(got 'many', which is in none"):
        join([tiny], none="0", several="many", validation=0.0)
