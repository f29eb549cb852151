"""A study of engines, its trials told: what fails is a row, what is done is not done again, what is not ours stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.bench import reachable
from pileus.bench.engines import study as studying
from pileus.bench.engines.design import Request
from pileus.bench.engines.study import run_study
from pileus.bench.engines.trial import Outcome, Task
from pileus.engines.connect import connect
from pileus.engines.ports import Engine
from pileus.errors import Interrupted, MissingExtra
from pileus.records.read import open_records
from tests.unit.bench.engines.small import outcome
from tests.unit.bench.watching import Silent

REQUEST = Request(engines=("local", "fake"), models=("cnn",), images=300)
KEPT = {"README.md", "environment.json", "figures.json", "report.html", "results.jsonl", "trials.json"}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Trials are told, and not made; those on threads fail."""
    tasks: list[Task] = []

    def note(task: Task, deadline_s: float) -> Outcome | str:
        tasks.append(task)
        assert len(open_records(task.spec.data.source)) == 300
        return outcome() if task.spec.engine.name == "local" else f"no room in {task.runs}"

    monkeypatch.setattr(studying, "run_trial", note)
    return tasks


def test_a_cell_that_fails_is_a_row_and_the_rest_goes_on(tmp_path: Path, tried: list[Task]) -> None:
    out, watch = tmp_path / "out", Silent()
    found = run_study(REQUEST, out, watch).content.analysis
    assert (found.trials, len(found.failed), len(found.figures), len(tried)) == (4, 2, 2, 4)
    assert {child.name for child in out.iterdir()} == KEPT
    text = "".join((out / name).read_text() for name in KEPT)
    assert str(tmp_path) not in text and "failed: no room in OUT/.work/runs/" in text
    assert sum("failed: no room" in line for line in watch.said) == 2


def test_what_is_written_to_a_store_is_removed_at_the_end(tmp_path: Path, tried: list[Task]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "others").write_text("stay")
    store = f"file:{tmp_path / 'there'}"
    request = Request(engines=("local",), models=("cnn",), workers=(1,), images=300, stores=("files", store))
    found = run_study(request, tmp_path / "out", Silent()).content.analysis
    assert {task.runs.startswith(store) for task in tried} == {True, False}
    assert [each.store for each in found.stores] == ["file"]
    assert [path.name for path in (tmp_path / "there").rglob("*") if path.is_file()] == ["others"]


def test_a_stopped_study_goes_on_with_what_is_left(
    tmp_path: Path, tried: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter((outcome(), outcome()))

    def stop_at_the_third(task: Task, deadline_s: float) -> Outcome:
        if (found := next(outcomes, None)) is None:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(studying, "run_trial", stop_at_the_third)
        with pytest.raises(Interrupted, match=r"after 2 of 4 trials.*go on:\npileus bench engines --out"):
            run_study(REQUEST, tmp_path / "out", Silent())
    run_study(REQUEST, tmp_path / "out", Silent())
    assert len(tried) == 2


def test_an_engine_that_is_not_installed_is_left_out_and_said(
    tmp_path: Path, tried: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(name: str, *, address: str | None = None) -> Engine:
        if name != "local":
            raise MissingExtra(f"engine {name!r}", name, name)
        return connect(name, address=address)

    monkeypatch.setattr(reachable, "connect", here)
    watch = Silent()
    request = Request(models=("cnn",), workers=(1,), images=300)
    content = run_study(request, tmp_path / "out", watch).content
    assert {task.spec.engine.name for task in tried} == {"local"}
    for engine in ("ray", "dask", "spark"):
        assert any(line.startswith(f"left out: {engine}: ") for line in watch.said)
        assert any(f"pip install 'pileus[{engine}]'" in caveat for caveat in content.caveats)
    with pytest.raises(MissingExtra, match="engine 'ray' needs ray"):
        run_study(Request(engines=("dask", "ray")), tmp_path / "none", Silent())
