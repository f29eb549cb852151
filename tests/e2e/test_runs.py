"""`pileus runs` over sound, stopped and damaged runs: what is damaged is named with a way out, the rest goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.errors import WorkFailed
from pileus.operations.train import train
from pileus.runs.driver import this_process
from pileus.spec.job import Fault
from pileus.spec.values import canonical_json
from tests.e2e.running import (
    EPOCHS,
    STEPS_PER_EPOCH,
    Ended,
    assert_told,
    fault_free_fingerprint,
    here,
    trial_spec,
    trial_words,
    write_digits,
)

Capture = pytest.CaptureFixture[str]
Damage = Callable[[Path], object]
GARBAGE = {
    "empty": b"",
    "cut short": b'{"name": "tri',
    "no text": b"\xff\xfe\x00",
    "another document": b'{"colour": "blue"}',
    "a list": b"[]",
    "too deep": b"[" * 100_000,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "records")


@pytest.fixture(scope="module")
def made(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fault-free`, which is done, and `stopped`, which failed in its ninth epoch."""
    runs = tmp_path_factory.mktemp("made")
    fault_free_fingerprint(digits, runs)
    fault = Fault(kind="raise", rank=0, step=8 * STEPS_PER_EPOCH + 2)
    with pytest.raises(WorkFailed, match="fault asked for"):
        train(trial_spec(digits, "engine.name=fake"), runs=str(runs), name="stopped", faults=(fault,))
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.fixture(scope="module")
def fingerprint(made: Path) -> str:
    return str(json.loads((made / "fault-free" / "result.json").read_text())["fingerprint"])


def resumed(capsys: Capture, run: Path, *words: str) -> Ended:
    return here(capsys, "runs", "resume", run, "--engine", "fake", "--json", *words)


def assert_done(ended: Ended, fingerprint: str) -> None:
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["state"], result["fingerprint"]) == ("done", fingerprint)
    assert (result["steps"], result["samples_seen"]) == (EPOCHS * STEPS_PER_EPOCH, EPOCHS * 160)


def test_no_runs_are_told_as_such(tmp_path: Path, capsys: Capture) -> None:
    ended = here(capsys, "runs", "list", "--runs", tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "pileus train digits_cnn" in ended.out
    assert json.loads(here(capsys, "runs", "list", "--runs", tmp_path / "none", "--json").out) == []


def test_runs_are_listed_and_shown(runs: Path, capsys: Capture) -> None:
    human = here(capsys, "runs", "list", "--runs", runs).out
    assert ["fault-free", "done"] in [line.split()[:2] for line in human.splitlines()]
    lines = {line["run"]: line for line in json.loads(here(capsys, "runs", "list", "--runs", runs, "--json").out)}
    assert (lines["fault-free"]["state"], lines["fault-free"]["epochs_done"]) == ("done", EPOCHS)
    assert (lines["stopped"]["state"], lines["stopped"]["epochs_done"]) == ("failed", 8)
    shown = here(capsys, "runs", "show", "stopped", "--runs", runs).out
    assert "fault asked for" in shown
    assert f"pileus runs resume {runs}/stopped" in shown
    assert f"pileus serve {runs}/fault-free" in here(capsys, "runs", "show", runs / "fault-free").out


def test_a_finished_run_is_given_back_as_it_is(runs: Path, fingerprint: str, capsys: Capture) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    ended = resumed(capsys, runs / "fault-free", "--workers", "3")
    assert_done(ended, fingerprint)
    assert json.loads(ended.out) == json.loads((runs / "fault-free" / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_a_stopped_run_is_gone_on_with_from_its_newest_checkpoint(
    runs: Path, fingerprint: str, capsys: Capture
) -> None:
    ended = resumed(capsys, runs / "stopped", "--workers", "4")
    assert_done(ended, fingerprint)
    assert "going on from checkpoints/00008-00000000" in ended.err
    verified = here(capsys, "runs", "verify", runs / "stopped")
    assert (verified.code, f"each of {EPOCHS} epochs" in verified.out) == (0, True)


def test_two_runs_are_compared(runs: Path, digits: Path, capsys: Capture) -> None:
    words = trial_words(digits, "--engine", "fake", "--runs", runs, "--set", "seed=1", "--set", "epochs=2")
    assert here(capsys, *words, "--name", "other").code == 0
    same = here(capsys, "runs", "compare", "fault-free", "stopped", "--runs", runs, "--json")
    told = json.loads(same.out)
    assert (told["first_epoch"], told["epochs_compared"]) == (None, 8)
    assert (told["first_step"], told["steps_compared"]) == (None, 8 * STEPS_PER_EPOCH)
    other = here(capsys, "runs", "compare", "fault-free", "other", "--runs", runs)
    assert ["seed", "0", "1"] in [line.split() for line in other.out.splitlines()]
    assert "the weights differ first after step 1 (epoch 1)" in other.out
    assert "the weights differ from epoch 1 on" in other.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "nope"), 2, ("there is no run 'nope'", "pileus runs list")),
        (("show", "a/../b"), 2, ("there is no run",)),
        (("resume", "gopher://hole/run"), 2, ("gopher://hole/run",)),
        (("resume", "stopped", "--workers", "5"), 2, ("workers=5, microbatches=4",)),
        (("resume", "stopped", "--workers", "0"), 2, ("workers", ">= 1", "got 0")),
        (("resume", "stopped", "--engine", "lokal"), 2, ("did you mean 'local'",)),
        (("compare", "stopped"), 2, ("RUN",)),
        (("verifi", "stopped"), 2, ("'verifi'", "verify")),
        ((), 2, ("VERB",)),
    ],
)
def test_a_wrong_command_is_refused(
    words: tuple[str, ...],
    code: int,
    told: tuple[str, ...],
    runs: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(runs.parent)
    assert_told(here(capsys, "runs", *words), code, *told)


def _newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x80
    path.write_bytes(content)


DAMAGES: dict[str, Damage] = {
    "weights changed": lambda folder: _flip(folder / "state.safetensors", -100),
    "weights cut short": lambda folder: (folder / "state.safetensors").write_bytes(b"\0" * 100),
    "weights missing": lambda folder: (folder / "state.safetensors").unlink(),
    "manifest changed": lambda folder: _flip(folder / "manifest.json", 40),
    "manifest cut short": lambda folder: (folder / "manifest.json").write_bytes(b'{"posi'),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_taken(
    damage: str, runs: Path, fingerprint: str, capsys: Capture
) -> None:
    DAMAGES[damage](_newest(runs / "stopped"))
    verified = here(capsys, "runs", "verify", runs / "stopped")
    assert verified.code == (0 if damage == "manifest missing" else 1)
    assert "Traceback" not in verified.err
    ended = resumed(capsys, runs / "stopped")
    assert "checkpoint passed over" in ended.err
    assert "checkpoints/00008-00000000" in ended.err
    assert "going on from checkpoints/00007-00000000" in ended.err
    assert_done(ended, fingerprint)
    assert here(capsys, "runs", "verify", runs / "stopped").code == 0


def test_without_a_whole_checkpoint_training_begins_anew(runs: Path, fingerprint: str, capsys: Capture) -> None:
    for weights in (runs / "stopped" / "checkpoints").glob("*/state.safetensors"):
        _flip(weights, 1000)
    ended = resumed(capsys, runs / "stopped")
    assert ended.err.count("checkpoint passed over") == 3
    assert "beginning anew" in ended.err
    assert_done(ended, fingerprint)
    assert here(capsys, "runs", "verify", runs / "stopped").code == 0


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["spec.json", "events/00000001.json", "metrics.jsonl", "driver.json"])
def test_a_damaged_document_of_a_run_is_named(name: str, garbage: str, runs: Path, capsys: Capture) -> None:
    (runs / "stopped" / name).write_bytes(GARBAGE[garbage])
    if (name, garbage) != ("metrics.jsonl", "empty"):
        assert_told(here(capsys, "runs", "resume", runs / "stopped", "--engine", "fake"), 1, name, "damaged")
    for verb in ("show", "verify"):
        ended = here(capsys, "runs", verb, runs / "stopped")
        assert ended.code in (0, 1)
        assert "fault of Pileus" not in ended.err
    listed = here(capsys, "runs", "list", "--runs", runs)
    assert (listed.code, listed.err) == (0, "")
    assert "fault-free" in listed.out


@pytest.mark.parametrize("name", ["driver.json", "metrics.jsonl", "environment.json"])
def test_the_way_out_of_damage_leads_out(name: str, runs: Path, fingerprint: str, capsys: Capture) -> None:
    (runs / "stopped" / name).write_bytes(b"{")
    assert_told(here(capsys, "runs", "resume", runs / "stopped"), 1, name, "delete it")
    (runs / "stopped" / name).unlink()
    assert_done(resumed(capsys, runs / "stopped"), fingerprint)


def test_a_run_that_was_killed_as_it_was_made_is_gone_on_with(runs: Path, fingerprint: str, capsys: Capture) -> None:
    for name in ("events", "checkpoints", "ledger"):
        shutil.rmtree(runs / "stopped" / name)
    for name in ("environment.json", "metrics.jsonl"):
        (runs / "stopped" / name).unlink()
    assert "new" in here(capsys, "runs", "list", "--runs", runs).out
    assert here(capsys, "runs", "verify", runs / "stopped").code == 0
    assert_done(resumed(capsys, runs / "stopped"), fingerprint)


def test_a_damaged_result_is_made_anew(runs: Path, fingerprint: str, capsys: Capture) -> None:
    result = runs / "fault-free" / "result.json"
    result.write_bytes(b"\xff")
    assert_told(here(capsys, "runs", "resume", runs / "fault-free"), 1, "result.json", "delete it")
    assert "damaged" in here(capsys, "runs", "list", "--runs", runs).out
    result.unlink()
    assert_done(resumed(capsys, runs / "fault-free"), fingerprint)


def test_a_dead_driver_bars_no_one(runs: Path, fingerprint: str, capsys: Capture) -> None:
    gone = {"pid": 2**22 - 1, "started": "1", "boot": this_process().boot}
    (runs / "stopped" / "driver.json").write_bytes(canonical_json(gone))
    assert_done(resumed(capsys, runs / "stopped"), fingerprint)
    assert not (runs / "stopped" / "driver.json").exists()


@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_ledger_proves_nothing(missing: bool, runs: Path, capsys: Capture) -> None:
    page = sorted((runs / "fault-free" / "ledger").iterdir())[3]
    page.unlink() if missing else _flip(page, -1)
    ended = here(capsys, "runs", "verify", runs / "fault-free")
    assert (ended.code, page.name in ended.out) == (1, True)
    assert "cannot be proved" in ended.out


@pytest.mark.parametrize("name", ["bundle/model.onnx", "bundle/manifest.json"])
def test_a_damaged_bundle_is_found(name: str, runs: Path, capsys: Capture) -> None:
    _flip(runs / "fault-free" / name, 100)
    ended = here(capsys, "runs", "verify", runs / "fault-free", "--json")
    assert ended.code == 1
    (fault,) = json.loads(ended.out)["faults"]
    assert name.partition("/")[2] in fault


def test_records_that_are_gone_are_told(runs: Path, digits: Path, fingerprint: str, capsys: Capture) -> None:
    aside = digits.rename(digits.with_name("aside"))
    try:
        told = (str(digits), "holds no record set")
        assert_told(here(capsys, "runs", "resume", runs / "stopped", "--engine", "fake"), 2, *told)
        verified = here(capsys, "runs", "verify", runs / "stopped")
        assert (verified.code, told[1] in verified.out) == (1, True)
    finally:
        aside.rename(digits)
    assert_done(resumed(capsys, runs / "stopped"), fingerprint)
