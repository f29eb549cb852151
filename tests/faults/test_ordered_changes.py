"""What changes a gang while it trains: a notice, a wish for another size, a store that fails. No weight changes by it.

A worker that is held still keeps the run from ending before the test has acted; no test waits by the clock.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from pileus.operations.runs import describe_run, find_run, verify_run
from pileus.operations.train import resume, train
from pileus.runs.history import spent
from pileus.spec.job import Fault
from tests.e2e.running import (
    EPOCHS,
    PILEUS,
    Begun,
    Ended,
    assert_told,
    here,
    trial_spec,
    trial_words,
)

Capture = pytest.CaptureFixture[str]


def begun(digits: Path, runs: Path, *words: str) -> Begun:
    """A run of two workers."""
    return Begun(*PILEUS, *trial_words(digits, "--runs", runs, "--name", "trial", "--workers", "2", "--json", *words))


def workers_of(run: Begun) -> list[psutil.Process]:
    return [each for each in psutil.Process(run.pid).children(recursive=True) if not each.children()]


def assert_done(ended: Ended, runs: Path, fingerprint: str, workers: int) -> None:
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["fingerprint"], result["restarts"], result["workers"]) == (fingerprint, 0, workers)
    run = find_run("trial", str(runs))
    check = verify_run(run)
    assert (check.faults, check.epochs_proved) == ((), EPOCHS)
    assert describe_run(run).workers == workers


def test_a_worker_that_is_told_to_leave_takes_all_along_in_order(
    digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    with begun(digits, tmp_path) as run:
        run.heard("epoch  2")
        held, told = workers_of(run)
        held.send_signal(signal.SIGSTOP)
        told.send_signal(signal.SIGTERM)
        run.heard("is about to be taken away (SIGTERM): stopping after this step, saving, and going on")
        held.send_signal(signal.SIGCONT)
        run.heard("going on from checkpoints/")
        assert_done(run.ended(), tmp_path, fingerprint, workers=2)


def test_a_notice_to_every_process_at_once_is_one_stop(digits: Path, fingerprint: str, tmp_path: Path) -> None:
    """As systemd and Slurm send it."""
    with begun(digits, tmp_path) as run:
        run.heard("epoch  2")
        for process in [*workers_of(run), psutil.Process(run.pid)]:
            process.send_signal(signal.SIGTERM)
        ended = run.ended()
    assert_told(ended, 130, "interrupted (SIGTERM)", "is saved")
    assert resume(str(tmp_path / "trial"), engine="fake").fingerprint == fingerprint


def test_a_notice_is_kept_also_where_a_worker_does_not_stop(digits: Path, fingerprint: str, tmp_path: Path) -> None:
    with begun(digits, tmp_path, "--set", "engine.notice_s=2") as run:
        run.heard("epoch  2")
        workers_of(run)[0].send_signal(signal.SIGSTOP)
        run.signal(signal.SIGTERM)
        ended = run.ended()
    assert_told(ended, 130, "SIGTERM", "not saved: it took longer than 1 s")
    assert resume(str(tmp_path / "trial"), engine="fake").fingerprint == fingerprint


@pytest.mark.parametrize("workers", [1, 4])
def test_a_run_under_way_is_resized(
    workers: int, digits: Path, fingerprint: str, tmp_path: Path, capsys: Capture
) -> None:
    with begun(digits, tmp_path) as run:
        run.heard("epoch  2")
        held = workers_of(run)[0]
        held.send_signal(signal.SIGSTOP)
        asked = here(capsys, "runs", "resize", "trial", "--runs", tmp_path, "--workers", str(workers), "--json")
        assert (asked.code, json.loads(asked.out)["workers"]) == (0, workers)
        run.heard(f"resized from 2 to {workers} workers")
        held.send_signal(signal.SIGCONT)
        ended = run.ended()
    assert_done(ended, tmp_path, fingerprint, workers)
    events = find_run("trial", str(tmp_path)).events()
    assert json.loads(ended.out)["train_s"] == pytest.approx(spent(events).training_s, abs=0.002)


def test_only_a_run_under_way_is_resized_and_only_to_what_can_be(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    result = train(trial_spec(digits, "engine.name=fake"), runs=str(tmp_path), name="trial")
    words = ("runs", "resize", result.uri, "--workers")
    assert_told(here(capsys, *words, "2"), 2, "nobody drives", "it is done")
    assert_told(here(capsys, *words, "5"), 2, "workers must be in [1, microbatches]")


def test_a_gang_that_loses_a_rank_again_and_again_goes_on_without_it(
    digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    faults = [Fault(kind="kill_worker", rank=1, step=2, attempt=attempt) for attempt in (1, 2)]
    spec = trial_spec(digits, "workers=2", "engine.min_workers=1", "engine.name=fake")
    result = train(spec, runs=str(tmp_path), name="trial", faults=tuple(faults))
    assert (result.fingerprint, result.workers, result.restarts) == (fingerprint, 1, 2)
    assert any("going on with 1 workers" in line for line in describe_run(find_run("trial", str(tmp_path))).story)


@pytest.mark.parametrize(("folder", "teller"), [("ledger", "rank 0"), ("checkpoints", "cannot use")])
def test_a_store_that_fails_for_a_while_is_tried_again(
    folder: str, teller: str, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    """To write a page, which a worker tells; to list checkpoints, before there is a gang."""
    (tmp_path / "trial").mkdir()
    obstacle = tmp_path / "trial" / folder
    obstacle.write_text("where a folder should be")
    with begun(digits, tmp_path) as run:
        told = run.heard("starting the gang again in 1 s")
        obstacle.unlink()
        ended = run.ended()
    assert teller in told
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["fingerprint"], result["restarts"]) == (fingerprint, 1)


def test_a_store_that_goes_on_failing_ends_the_run(
    digits: Path, fingerprint: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "trial").mkdir()
    obstacle = tmp_path / "trial" / "ledger"
    obstacle.write_text("where a folder should be")
    with begun(digits, tmp_path, "--set", "engine.max_restarts=1") as run:
        ended = run.ended()
    assert_told(ended, 1, "rank 0", "after 1 restarts", "pileus runs resume")
    line = json.loads(here(capsys, "runs", "show", tmp_path / "trial", "--json").out)
    assert (line["state"], line["cause"], line["blame"]) == ("failed", "storage", "platform")
    obstacle.unlink()
    assert resume(str(tmp_path / "trial"), engine="fake").fingerprint == fingerprint


def test_of_several_failures_the_first_is_told_and_no_peers_complaint(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    faults = tuple(Fault(kind="raise", rank=rank, step=9) for rank in (1, 2))
    with pytest.raises(Exception, match=r"rank [12], step 9: fault asked for") as told:
        train(trial_spec(digits, "workers=4"), runs=str(tmp_path), name="trial", faults=faults)
    assert "lost rank" not in str(told.value)
    shown = here(capsys, "runs", "show", tmp_path / "trial").out
    assert "failed: rank" in shown
    assert "lost rank" not in shown
