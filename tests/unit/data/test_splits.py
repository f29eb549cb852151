from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pileus.data.batches import positions_of
from pileus.data.ports import Split
from pileus.data.sources.open import open_source
from pileus.data.splits import settled_split, split_by_hash
from pileus.data.write import WriteOptions, write_records
from pileus.records import open_records
from tests.contracts.tiny import write_idx

_IDS = [f"digits/{number:05}" for number in range(10_000)]


def test_the_shares_are_70_10_20() -> None:
    counts = Counter(split_by_hash(sample_id) for sample_id in _IDS)
    assert counts[Split.TRAIN] == pytest.approx(7000, abs=150)
    assert counts[Split.VALIDATION] == pytest.approx(1000, abs=100)
    assert counts[Split.TEST] == pytest.approx(2000, abs=120)


def test_the_split_of_an_id_never_changes() -> None:
    """Golden: written records and published results rest on it."""
    golden = [0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 2, 0, 2, 0, 2, 2, 1, 0]
    assert [int(split_by_hash(f"digits/{number:05}")) for number in range(20)] == golden


def test_a_given_split_is_kept() -> None:
    assert [settled_split(split, "any") for split in Split] == list(Split)
    assert settled_split(None, _IDS[0]) == split_by_hash(_IDS[0])


def test_validation_is_cut_from_given_train_alone() -> None:
    counts = Counter(settled_split(Split.TRAIN, sample_id, 0.25) for sample_id in _IDS)
    assert counts == {Split.TRAIN: pytest.approx(7500, abs=150), Split.VALIDATION: pytest.approx(2500, abs=150)}
    assert all(settled_split(Split.TEST, sample_id, 0.25) == Split.TEST for sample_id in _IDS[:100])
    assert all(settled_split(None, sample_id, 0.25) == split_by_hash(sample_id) for sample_id in _IDS[:100])


def test_a_larger_share_holds_the_smaller() -> None:
    small, large = (
        {sample_id for sample_id in _IDS if settled_split(Split.TRAIN, sample_id, share) == Split.VALIDATION}
        for share in (0.1, 0.3)
    )
    assert small < large


def test_writing_holds_back_the_samples_that_training_would(tmp_path: Path) -> None:
    source = open_source(str(write_idx(tmp_path / "idx", train=200)))
    write_records(source, str(tmp_path / "whole"))
    write_records(source, str(tmp_path / "cut"), options=WriteOptions(validation=0.2))
    whole, cut = open_records(str(tmp_path / "whole")), open_records(str(tmp_path / "cut"))
    held_back = positions_of(whole, Split.VALIDATION, 0.2)
    assert 0 < len(held_back) < 200
    assert positions_of(cut, Split.VALIDATION, 0.0).tolist() == held_back.tolist()
