"""A study, its trials told: what fails is a row, what is done is not done again, what is not ours stays."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path

import pytest

from pileus.bench.reading import study as studying
from pileus.bench.reading.design import Factors, all_trials, places_of
from pileus.bench.reading.request import Request
from pileus.bench.reading.results import Results
from pileus.bench.reading.study import Study, run_study, run_trial
from pileus.bench.reading.trial import Outcome, Task
from pileus.errors import Interrupted, UsageError
from tests.unit.bench.reading.small import OUTCOME, cell_of, photographs, task_of, written_set
from tests.unit.bench.watching import Silent

FACTORS = Factors(batch_size=(2, 4), batches=(1, 2), readers=(1,), cache=("warm",), repetitions=1)
"""Eight trials."""
KEPT = {"README.md", "environment.json", "figures.json", "report.html", "results.csv", "trials.json"}


def study(out: Path, watch: Silent | None = None, **changes: object) -> Study:
    request = Request(**{"source": "photos", "factors": FACTORS, **changes})  # type: ignore[arg-type]
    return run_study(request, photographs(), out, watch or Silent())


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Trials are told, and not made: that is the end-to-end tests'."""
    tasks: list[Task] = []

    def note(task: Task, deadline_s: float) -> Outcome | str:
        tasks.append(task)
        return OUTCOME

    monkeypatch.setattr(studying, "run_trial", note)
    return tasks


def test_the_folder_holds_the_record_and_nothing_else(tmp_path: Path, tried: list[Task]) -> None:
    watch = Silent()
    found = study(tmp_path / "out", watch)
    assert {child.name for child in (tmp_path / "out").iterdir()} == KEPT
    assert [task.cell for task in tried] == [trial.cell for trial in all_trials(FACTORS)]
    assert (found.analysis.trials, found.analysis.failed) == (8, 0)
    assert watch.done == list(range(9))
    assert any("8 trials, about " in line for line in watch.said)
    told = " ".join((tmp_path / "out" / name).read_text() for name in KEPT)
    assert str(tmp_path) not in told


def test_a_stopped_study_goes_on_with_what_is_left(
    tmp_path: Path, tried: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_fourth(task: Task, deadline_s: float) -> Outcome:
        tried.append(task)
        if len(tried) == 4:
            raise KeyboardInterrupt
        return OUTCOME

    with monkeypatch.context() as patch:
        patch.setattr(studying, "run_trial", stop_at_the_fourth)
        with pytest.raises(Interrupted, match=r"after 3 of 8 trials.*go on:\npileus bench reading photos --out "):
            study(tmp_path / "out")
    assert len(Results(tmp_path / "out" / "results.csv").load(all_trials(FACTORS))) == 3
    watch = Silent()
    found = study(tmp_path / "out", watch)
    assert [task.cell for task in tried] == [
        *(trial.cell for trial in all_trials(FACTORS)[:4]),
        *(trial.cell for trial in all_trials(FACTORS)[3:]),
    ]
    assert found.analysis.trials == 8
    assert any("5 trials, about" in line and "3 were done before" in line for line in watch.said)


def test_a_trial_that_fails_is_a_row_and_the_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(8))

    def fail_once(task: Task, deadline_s: float) -> Outcome | str:
        return f"{tmp_path.resolve()}/out/.work is\nbroken" if next(numbers) == 2 else OUTCOME

    monkeypatch.setattr(studying, "run_trial", fail_once)
    found = study(tmp_path / "out")
    assert (found.analysis.trials, found.analysis.failed) == (8, 1)
    rows = Results(tmp_path / "out" / "results.csv").load(all_trials(FACTORS))
    assert [row.error for row in rows if row.outcome is None] == ["OUT/.work is broken"]
    assert "OUT/.work is broken" in (tmp_path / "out" / "report.html").read_text()


def test_what_is_not_this_study_is_left_alone(tmp_path: Path, tried: list[Task]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"'thesis\.txt'"):
        study(tmp_path / "own")
    study(tmp_path / "out")
    before = (tmp_path / "out" / "results.csv").read_bytes()
    with pytest.raises(UsageError, match="finished"):
        study(tmp_path / "out")
    with pytest.raises(UsageError, match="another study"):
        study(tmp_path / "out", source="others")
    assert (tmp_path / "out" / "results.csv").read_bytes() == before
    assert [child.name for child in (tmp_path / "own").iterdir()] == ["thesis.txt"]


def test_two_studies_at_once_are_refused(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process runs a study"):
            study(tmp_path)
    finally:
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_sets_are_copied_to_a_remote_store_and_removed_from_it(tmp_path: Path, tried: list[Task]) -> None:
    places = places_of((0.0,), remote=True)
    factors = Factors(batch_size=(2,), batches=(1,), readers=(1,), cache=("warm",), repetitions=1, store=places)
    study(tmp_path / "out", factors=factors, remote=str(tmp_path / "far"))
    below = f"file:{tmp_path / 'far'}/pileus-bench-out/0"
    assert [task.written.uri == below for task in tried] == [task.cell.store.remote for task in tried]
    assert {task.cell.store.remote for task in tried} == {True, False}
    assert not [path for path in (tmp_path / "far").rglob("*") if path.is_file()]


def test_a_trial_past_its_deadline_ends(tmp_path: Path) -> None:
    task = task_of(cell_of(), written_set(tmp_path / "set"), tmp_path / "caches")
    assert run_trial(task, 0.01) == "it took more than its deadline of 0.01 s"


def test_a_trial_whose_set_is_damaged_says_so(tmp_path: Path) -> None:
    written = written_set(tmp_path / "set")
    (shard,) = (tmp_path / "set" / "shards").glob("*.tfrecord")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    told = run_trial(task_of(cell_of(), written, tmp_path / "caches"), 60.0)
    assert isinstance(told, str) and "is damaged: the checksum of its data does not hold" in told


@pytest.mark.parametrize(
    ("out", "err", "told"),
    [
        (b'{"error": "no such set"}\n', b"", "no such set"),
        (b"", b"Traceback\nMemoryError: too much", "its process ended with -9: MemoryError: too much"),
        (b"[]", b"", "its process ended with -9: without a word"),
    ],
)
def test_a_trial_that_dies_is_told_by_its_last_words(
    out: bytes, err: bytes, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = subprocess.CompletedProcess[bytes]([], -9, out, err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    written = written_set(tmp_path / "set")
    assert run_trial(task_of(cell_of(), written, tmp_path / "caches"), 1.0) == told


def test_the_design_is_written_with_every_trial(tmp_path: Path, tried: list[Task]) -> None:
    study(tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "trials.json").read_text())
    assert len(plan["trials"]) == 8
    assert plan["request"]["factors"]["batch_size"] == [2, 4]
