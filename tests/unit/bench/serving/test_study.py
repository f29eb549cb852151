"""A study, its trials told: rates follow from the saturation, what fails is a line, what is done is not done again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pileus.bench.serving import study as studying
from pileus.bench.serving.design import Request, all_trials
from pileus.bench.serving.load import SATURATING, Arrivals
from pileus.bench.serving.study import Study, run_study
from pileus.bench.serving.trial import Outcome, Setting
from pileus.bundles import write_bundle
from pileus.bundles.export import export_onnx
from pileus.errors import Interrupted, UsageError, WorkFailed
from pileus.spec.preprocessing import Drawing
from pileus.store import open_store
from tests.unit.bench.serving.small import REQUEST, outcome, sent
from tests.unit.bench.watching import Silent
from tests.unit.bundles.nets import SmallNet, describe

KEPT = {"README.md", "environment.json", "figures.json", "report.html", "results.jsonl", "trials.json"}


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    folder = tmp_path_factory.mktemp("model")
    write_bundle(open_store(folder), "", export_onnx(SmallNet(), 28, 28, 1), describe(Drawing()))
    return msgspec.structs.replace(REQUEST, bundle=str(folder))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Setting]:
    """Trials are told, and not made: that is the end-to-end test's."""
    settings: list[Setting] = []

    def note(setting: Setting) -> Outcome:
        settings.append(setting)
        return told(setting)

    monkeypatch.setattr(studying, "run_trial", note)
    return settings


def told(setting: Setting) -> Outcome:
    asked = setting.load.per_s if isinstance(setting.load, Arrivals) else None
    return outcome(sent(min(asked or 200.0, 200.0)), asked)


def test_the_folder_holds_the_record_and_nothing_else(tmp_path: Path, request_: Request, tried: list[Setting]) -> None:
    watch, out = Silent(), tmp_path / "out"
    found = run_study(request_, out, watch)
    assert {child.name for child in out.iterdir()} == KEPT
    assert len(tried) == found.content.analysis.trials == 13
    assert tried[0].load == SATURATING
    assert {setting.load for setting in tried if isinstance(setting.load, Arrivals)} == {
        Arrivals(per_s=100.0),
        Arrivals(per_s=600.0),
    }
    assert watch.done == list(range(14))
    text = " ".join((out / name).read_text() for name in KEPT)
    assert str(tmp_path.parent) not in text and str(request_.bundle) not in text
    page = (out / "report.html").read_text()
    assert page.count("<svg ") == 3
    assert "raw, 50 users, pause 1 s" in page
    assert json.loads((out / "figures.json").read_text())["bearings"][0]["peak"] == 200.0
    with pytest.raises(UsageError, match="finished"):
        run_study(request_, out, watch)
    with pytest.raises(UsageError, match="another study"):
        run_study(msgspec.structs.replace(request_, rounds=3), out, watch)


def test_a_stopped_study_goes_on_with_what_is_left(
    tmp_path: Path, request_: Request, tried: list[Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Setting] = []

    def stop_at_the_fourth(setting: Setting) -> Outcome:
        begun.append(setting)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return told(setting)

    with monkeypatch.context() as patch:
        patch.setattr(studying, "run_trial", stop_at_the_fourth)
        with pytest.raises(Interrupted, match=r"after 3 of 13 trials.*go on:\npileus bench serving "):
            run_study(request_, tmp_path / "out", Silent())
    found: Study = run_study(request_, tmp_path / "out", Silent())
    assert found.content.analysis.trials == 13
    assert [setting.cell for setting in tried] == [trial.cell for trial in all_trials(request_)[3:]]


def test_without_a_saturation_there_are_no_rates(
    tmp_path: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(setting: Setting) -> Outcome:
        raise WorkFailed(f"the server in {tmp_path.resolve()}/out is\nbroken")

    monkeypatch.setattr(studying, "run_trial", fail)
    watch = Silent()
    found = run_study(request_, tmp_path / "out", watch)
    assert (found.content.analysis.trials, found.content.analysis.failed) == (13, 13)
    errors = [each.error for each in found.content.done]
    assert errors[0] == "the server in OUT is broken"
    assert set(errors[1:]) == {"the saturation of raw was not found"}
    assert "No trial told anything" in (tmp_path / "out" / "report.html").read_text()
