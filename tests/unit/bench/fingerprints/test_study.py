"""A study of fingerprints, its trainings told: what is kept, what an absent engine is, and that it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.bench import reachable
from pileus.bench.fingerprints import study as studying
from pileus.bench.fingerprints.design import Request
from pileus.bench.fingerprints.study import design_of, run_study
from pileus.bench.fingerprints.trial import Outcome, Task
from pileus.engines.connect import connect
from pileus.engines.ports import Engine
from pileus.errors import Interrupted, MissingExtra, SpecError, UsageError
from pileus.records.read import open_records
from tests.unit.bench.watching import Silent

REQUEST = Request(engines=("fake", "local"), workers=(1, 2))
KEPT = {"README.md", "environment.json", "figures.json", "report.html", "results.jsonl", "trials.json"}
SAME = Outcome(fingerprint="ab" * 32, steps=40, accuracy=0.9, disturbed_at=None)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Trainings are told, and not made."""
    tasks: list[Task] = []

    def note(task: Task, deadline_s: float) -> Outcome | str:
        tasks.append(task)
        assert len(open_records(task.spec.data.source)) == 1797
        return SAME

    monkeypatch.setattr(studying, "run_trial", note)
    return tasks


def test_the_folder_holds_the_record_and_nothing_else(tmp_path: Path, tried: list[Task]) -> None:
    out, watch = tmp_path / "out", Silent()
    study = run_study(REQUEST, out, watch)
    assert study.figures.is_equal
    assert {child.name for child in out.iterdir()} == KEPT
    assert watch.done == list(range(9))
    assert str(tmp_path) not in "".join((out / name).read_text() for name in KEPT)
    moved = [task for task in tried if task.trial.case == "moved"]
    assert {(task.spec.engine.name, task.then, task.spec.workers) for task in moved} == {
        ("fake", "local", 2),
        ("local", "fake", 2),
    }
    assert json.loads((out / "figures.json").read_text())["equal"] is True
    with pytest.raises(UsageError, match="holds this study already"):
        run_study(REQUEST, out, Silent())


def test_a_stopped_study_goes_on_and_a_failure_is_a_line(
    tmp_path: Path, tried: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter((SAME, f"{tmp_path}/out has no room"))

    def stop_at_the_third(task: Task, deadline_s: float) -> Outcome | str:
        found = next(outcomes, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(studying, "run_trial", stop_at_the_third)
        with pytest.raises(
            Interrupted, match=r"after 2 of 8 trials.*go on:\npileus bench fingerprints digits_cnn --out"
        ):
            run_study(REQUEST, tmp_path / "out", Silent())
    study = run_study(REQUEST, tmp_path / "out", Silent())
    assert len(tried) == 6
    assert (len(study.figures.failed), study.figures.differing) == (1, ())
    assert "OUT has no room" in (tmp_path / "out" / "README.md").read_text()


def test_an_engine_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(name: str, *, address: str | None = None) -> Engine:
        if name == "ray":
            raise MissingExtra(f"engine {name!r}", "ray", "ray")
        return connect(name, address=address)

    monkeypatch.setattr(reachable, "connect", here)
    design = design_of(Request(engines=("local", "ray")))
    assert [each.engine for each in design.left_out] == ["ray"] and design.engines == ["local"]
    with pytest.raises(MissingExtra, match="ray"):
        design_of(Request(engines=("ray",)))


def test_more_workers_than_microbatches_are_refused() -> None:
    with pytest.raises(SpecError, match=r"workers=8, microbatches=4\); lower --workers"):
        design_of(Request(engines=("local",), workers=(1, 8)))
