"""A study, its trials told: what fails is a line, what is done is not done again, what is not ours stays."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pileus.bench.results import Results
from pileus.bench.training import study as studying
from pileus.bench.training.design import Request, design_of
from pileus.bench.training.results import Done
from pileus.bench.training.study import Study, run_study
from pileus.bench.training.trial import Outcome, Task
from pileus.data.sources.open import open_source
from pileus.errors import Interrupted, UsageError
from pileus.records.read import open_records
from tests.unit.bench.training.small import REQUEST, outcome
from tests.unit.bench.watching import Silent

QUICK = msgspec.structs.replace(REQUEST, rounds=2, steps=2)
"""Ten trials."""
TRIALS = design_of(QUICK).trials
KEPT = {"README.md", "environment.json", "figures.json", "report.html", "results.jsonl", "trials.json"}


def study(out: Path, watch: Silent | None = None, request: Request = QUICK) -> Study:
    return run_study(request, open_source("embedded:digits"), out, watch or Silent())


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Trials are told, and not made: that is the end-to-end test's."""
    tasks: list[Task] = []

    def note(task: Task, deadline_s: float) -> Outcome | str:
        tasks.append(task)
        assert len(open_records(task.records_uri)) == 2 * task.spec.batch_size
        return outcome(100.0 * task.spec.workers)

    monkeypatch.setattr(studying, "run_trial", note)
    return tasks


def test_the_folder_holds_the_record_and_nothing_else(tmp_path: Path, tried: list[Task]) -> None:
    watch = Silent()
    found = study(tmp_path / "out", watch)
    assert {child.name for child in (tmp_path / "out").iterdir()} == KEPT
    assert [task.spec.workers for task in tried] == [trial.contender.workers for trial in TRIALS]
    assert (found.content.analysis.trials, found.content.analysis.failed) == (10, 0)
    assert watch.done == list(range(11))
    assert any("10 trials, about " in line for line in watch.said)
    told = " ".join((tmp_path / "out" / name).read_text() for name in KEPT)
    assert str(tmp_path) not in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg ") == 3
    assert "digits_cnn, all_reduce:fast, 2 workers" in page
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert [each["speedup"]["median"] for each in figures["figures"]] == [1.0, 1.0, 2.0, 1.0, 2.0]


def test_a_stopped_study_goes_on_with_what_is_left(
    tmp_path: Path, tried: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Task] = []

    def stop_at_the_fourth(task: Task, deadline_s: float) -> Outcome:
        begun.append(task)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return outcome()

    with monkeypatch.context() as patch:
        patch.setattr(studying, "run_trial", stop_at_the_fourth)
        with pytest.raises(Interrupted, match=r"after 3 of 10 trials.*go on:\npileus bench training embedded:digits "):
            study(tmp_path / "out")
    results = tmp_path / "out" / "results.jsonl"
    with results.open("ab") as file:
        file.write(b'{"trial":{"num')  # what a kill leaves of a line
    found = study(tmp_path / "out")
    assert [task.spec.workers for task in tried] == [trial.contender.workers for trial in TRIALS[3:]]
    assert found.content.analysis.trials == 10
    assert len(Results(results, Done).load(TRIALS)) == 10


def test_a_trial_that_fails_is_a_line_and_the_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(10))

    def fail_once(task: Task, deadline_s: float) -> Outcome | str:
        return f"{tmp_path.resolve()}/out/.work is\nbroken" if next(numbers) == 2 else outcome()

    monkeypatch.setattr(studying, "run_trial", fail_once)
    found = study(tmp_path / "out")
    assert (found.content.analysis.trials, found.content.analysis.failed) == (10, 1)
    assert "OUT/.work is broken" in (tmp_path / "out" / "report.html").read_text()


def test_what_is_not_this_study_is_left_alone(tmp_path: Path, tried: list[Task]) -> None:
    study(tmp_path / "out")
    with pytest.raises(UsageError, match="finished"):
        study(tmp_path / "out")
    with pytest.raises(UsageError, match="another study"):
        study(tmp_path / "out", request=msgspec.structs.replace(QUICK, steps=3))


@pytest.mark.parametrize("line", [b"{}\n", b"[\n", b'{"trial":{"number":77,"round":0,"contender":{"model":"m"}}}\n'])
def test_other_results_are_told(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(line)
    with pytest.raises(UsageError, match="not of this study"):
        Results(tmp_path / "results.jsonl", Done).load(TRIALS)
