"""How engines and stores stand to one another, from figures that are made up."""

from __future__ import annotations

import pytest

from tests.unit.bench.engines.small import analysis, cell, done, outcome


def test_a_cell_is_the_median_of_its_rounds() -> None:
    found = analysis(
        [done(turn, cell("local"), outcome(work_s=work), turn) for turn, work in enumerate((3.0, 9.0, 4.0))]
    )
    (figures,) = found.figures
    assert (figures.work_s.median, figures.work_s.min, figures.work_s.max, figures.work_s.runs) == (4.0, 3.0, 9.0, 3)
    assert figures.total_s.median == 7.0
    assert len(figures.fingerprints) == 1


def test_an_engine_is_compared_with_local_by_as_many_workers_in_the_same_store() -> None:
    found = analysis(
        [
            done(0, cell("local", 1), outcome(start_s=2.0, work_s=4.0)),
            done(1, cell("local", 2), outcome(start_s=3.0, work_s=2.0)),
            done(2, cell("ray", 1), outcome(start_s=7.0, work_s=4.0)),
            done(3, cell("ray", 2), outcome(start_s=10.0, work_s=3.0)),
            done(4, cell("ray", 3), outcome(start_s=99.0, work_s=99.0)),
        ]
    )
    (beside,) = found.beside
    assert (beside.engine, beside.cells, beside.late_s) == ("ray", 2, 6.0)
    assert beside.work == pytest.approx(1.25)


def test_a_store_is_compared_with_files_all_else_equal() -> None:
    found = analysis(
        [
            done(0, cell("local"), outcome(start_s=2.0, work_s=4.0)),
            done(1, cell("local", store="s3"), outcome(start_s=3.0, work_s=6.0)),
            done(2, cell("ray", store="s3"), outcome(start_s=50.0)),
        ]
    )
    (store,) = found.stores
    assert (store.store, store.start, store.work, store.cells) == ("s3", 1.5, 1.5, 1)


def test_a_failed_cell_is_counted_and_leaves_the_rest() -> None:
    found = analysis([done(0, cell("ray"), None), done(1, cell("local"), outcome())])
    assert [each.cell.engine for each in found.figures] == ["local"]
    assert [(each.cell.engine, each.error) for each in found.failed] == [("ray", "the cluster is gone")]
    assert (found.trials, found.beside) == (2, ())


def test_nothing_at_all_is_an_analysis_too() -> None:
    found = analysis([done(0, cell("ray"), None)])
    assert (found.figures, found.models) == ((), ())
