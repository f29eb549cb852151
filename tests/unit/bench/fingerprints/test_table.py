"""Fingerprints told in a table, and what is said of them, with figures that are made up."""

from __future__ import annotations

import pytest

from pileus.bench.fingerprints.design import Request, Trial, all_trials
from pileus.bench.fingerprints.report import caveats, figures_document, read_figures, readme, report_page
from pileus.bench.fingerprints.table import Done, Figures, figures_of, markdown, sentence
from pileus.bench.fingerprints.trial import Outcome
from pileus.bench.reachable import LeftOut
from pileus.errors import SpecError
from pileus.spec.values import canonical_json

REQUEST = Request(engines=("local", "dask@tcp://head:8786"), workers=(1, 2))
TRIALS = all_trials(REQUEST, REQUEST.engines)
SAME, OTHER = "ab" * 32, "cd" * 32
MACHINE = {"processor": "A Processor", "cores": {"affinity": 2}, "versions": {"torch": "2.13.0"}}


def done(trial: Trial, fingerprint: str | None = SAME) -> Done:
    if fingerprint is None:
        return Done(trial=trial, outcome=None, error="the cluster is gone")
    return Done(trial=trial, outcome=Outcome(fingerprint=fingerprint, steps=40, accuracy=0.9, disturbed_at=None))


def figures(**ended: str | None) -> Figures:
    """All with the same weights but those, by engine and case."""
    return figures_of(
        REQUEST,
        [done(trial, ended.get(f"{trial.engine}_{trial.case}_{trial.workers}", SAME)) for trial in TRIALS],
        [LeftOut(engine="ray", reason="no ray here")],
    )


def test_every_engine_is_tried_whole_killed_and_moved_in_a_drawn_order() -> None:
    told = {(trial.engine, trial.case, trial.workers, trial.then) for trial in TRIALS}
    whole = {(engine, "whole", workers, "") for engine in ("local", "dask") for workers in (1, 2)}
    killed = {("local", "killed", 2, ""), ("dask", "killed", 2, "")}
    assert told == whole | killed | {("local", "moved", 2, "dask"), ("dask", "moved", 2, "local")}
    assert [trial.number for trial in TRIALS] == list(range(8))
    other = all_trials(Request(engines=REQUEST.engines, workers=(1, 2), seed=1), REQUEST.engines)
    assert [trial.label for trial in other] != [trial.label for trial in TRIALS]


@pytest.mark.parametrize(("engine", "then"), [("local", "fake"), ("spark", "local")])
def test_one_engine_alone_is_moved_to_one_that_is_always_there(engine: str, then: str) -> None:
    moved = [trial for trial in all_trials(Request(engines=(engine,)), [engine]) if trial.case == "moved"]
    assert [trial.then for trial in moved] == [then]


def test_the_table_has_a_row_an_engine_and_a_column_a_case() -> None:
    assert markdown(figures()) == (
        "| engine | 1 worker | 2 workers | one of 2 killed | moved in mid-epoch |\n| --- | --- | --- | --- | --- |\n"
        "| local | `abababababab` | `abababababab` | `abababababab` | `abababababab` to dask |\n"
        "| dask | `abababababab` | `abababababab` | `abababababab` | `abababababab` to local |\n"
    )


def test_the_same_weights_are_told_with_their_whole_fingerprint() -> None:
    found = figures()
    assert found.is_equal
    assert sentence(found) == f"All 8 trainings ended with the same weights, bit for bit: fingerprint {SAME}."


def test_other_weights_are_a_fault_that_is_named() -> None:
    found = figures(dask_killed_2=OTHER)
    assert not found.is_equal
    assert sentence(found).startswith("1 of 8 trainings ended with other weights than the rest: dask, 2 workers, one k")
    assert "`cdcdcdcdcdcd`" in markdown(found)


def test_a_training_that_failed_is_a_cell_that_says_so() -> None:
    found = figures(local_moved_2=None)
    assert not found.is_equal
    assert "`abababababab` | failed |\n" in markdown(found)
    assert sentence(found).endswith("1 failed: local, 2 workers, then dask with 3.")
    ended = [done(trial, None) for trial in TRIALS]
    assert sentence(figures_of(REQUEST, ended, [])) == "No training ended."


def test_the_record_tells_it_without_hosts_and_is_read_again() -> None:
    found = figures(local_moved_2=None)
    failed = [done(trial, None) for trial in TRIALS if (trial.engine, trial.case) == ("local", "moved")]
    page, text = report_page(found, failed, MACHINE), readme(found, failed, MACHINE)
    for told in (page, text):
        assert "head:8786" not in told
        assert "the cluster is gone" in told and "no ray here" in told
    assert markdown(found) in text and "torch 2.13.0" in text
    assert read_figures(canonical_json(figures_document(found))) == found


def test_one_engine_shows_nothing_of_others() -> None:
    request = Request(engines=("local",), workers=(1,))
    ended = [done(trial) for trial in all_trials(request, request.engines)]
    assert caveats(figures_of(request, ended, [])) == ["One engine alone was tried: that others agree is not shown."]


@pytest.mark.parametrize(
    ("engines", "workers", "rule"),
    [(("local", "local"), (1,), "each once"), (("rai",), (1,), "ray"), (("local",), (2, 2), "workers must be")],
)
def test_impossible_levels_are_refused(engines: tuple[str, ...], workers: tuple[int, ...], rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        Request(engines=engines, workers=workers)
