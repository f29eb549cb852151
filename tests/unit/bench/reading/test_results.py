"""results.csv: rows come back as they were, a torn one is run again, and another study's are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from pileus.bench.reading.design import Factors, all_trials
from pileus.bench.reading.results import COLUMNS, Done, Results
from pileus.errors import UsageError
from tests.unit.bench.reading.small import FACTORS, OUTCOME, finished

TRIALS = all_trials(FACTORS)


def kept(path: Path, rows: list[Done]) -> Results:
    results = Results(path)
    for row in rows:
        results.add(row)
    return results


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    failed = Done(trial=TRIALS[5], outcome=None, error='it said "no, never", and went')
    rows = [*finished()[:5], failed]
    back = kept(tmp_path / "results.csv", rows).load(TRIALS)
    assert [row.trial for row in back] == TRIALS[:6]
    assert back[5] == failed
    for before, after in zip(rows[:5], back[:5], strict=True):
        assert before.outcome is not None and after.outcome is not None
        assert after.outcome.wall_s == pytest.approx(before.outcome.wall_s, rel=1e-8)
        assert msgspec.structs.replace(after.outcome, wall_s=1.0) == msgspec.structs.replace(before.outcome, wall_s=1.0)


def test_there_is_one_header_and_a_row_a_trial(tmp_path: Path) -> None:
    kept(tmp_path / "results.csv", finished()[:3])
    with (tmp_path / "results.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert len(set(header)) == len(header)
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert rows[0][COLUMNS.index("store")] == "local"


@pytest.mark.parametrize("left", range(1, 60, 7))
def test_a_row_that_a_killed_study_left_is_thrown_away(left: int, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    results = kept(path, finished()[:2])
    whole = path.read_text()
    last = whole.splitlines()[-1]
    path.write_text(whole + last[: min(left, len(last) - 1)])
    assert len(results.load(TRIALS)) == 2
    results.add(finished()[2])
    assert [row.trial.number for row in results.load(TRIALS)] == [0, 1, 2]


def test_no_file_is_no_row(tmp_path: Path) -> None:
    assert Results(tmp_path / "results.csv").load(TRIALS) == []


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "trial\n99999\n", "\x00\n\n", ",".join(COLUMNS) + "\n0,0,files\n"])
def test_what_is_no_row_of_this_study_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(UsageError, match="not of this study"):
        Results(tmp_path / "results.csv").load(TRIALS)


def test_rows_of_another_design_are_refused(tmp_path: Path) -> None:
    results = kept(tmp_path / "results.csv", finished()[:4])
    other = Factors(batch_size=(8, 16), batches=(1, 3), readers=(1,), repetitions=2)
    with pytest.raises(UsageError, match="other levels"):
        results.load(all_trials(other))


def test_the_speed_is_images_by_seconds(tmp_path: Path) -> None:
    kept(tmp_path / "results.csv", [Done(trial=TRIALS[0], outcome=OUTCOME)])
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["images_per_s"]) == OUTCOME.images / OUTCOME.wall_s == OUTCOME.images_per_s
