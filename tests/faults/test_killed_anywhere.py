"""SIGKILL of any process at any moment: nothing lives on, and going on ends with the weights of a run without faults.

Moments are coordinates (rank, step), or the first sight of a file that the run writes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import resume, train
from pileus.spec.job import Fault
from tests.e2e.running import (
    EPOCHS,
    PILEUS,
    STEPS_PER_EPOCH,
    Begun,
    assert_told,
    trial_spec,
    trial_words,
)

_LAST_STEP = EPOCHS * STEPS_PER_EPOCH - 1
_KILLED = 128 + signal.SIGKILL
_GONE_S = 15.0
_CONTROLLER = """
import sys
import msgspec
from pileus.operations.train import train
from pileus.spec.job import Fault
from pileus.spec.run import RunSpec
spec = msgspec.json.decode(sys.argv[1], type=RunSpec)
train(spec, runs=sys.argv[2], name="trial", faults=msgspec.json.decode(sys.argv[3], type=tuple[Fault, ...]))
"""


@pytest.fixture
def no_orphans() -> Iterator[None]:
    """Every process that was begun in the test has ended soon after it, by itself."""
    before = set(psutil.Process().children(recursive=True))
    yield
    _, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=_GONE_S)
    assert alive == []


def assert_ends_as_without_faults(runs: Path, fingerprint: str, *, engine: str = "fake", workers: int = 1) -> None:
    run = find_run("trial", str(runs))
    assert verify_run(run).faults == ()
    assert resume(run.uri, engine=engine, workers=workers).fingerprint == fingerprint
    check = verify_run(run)
    assert (check.faults, check.epochs_proved) == ((), EPOCHS)
    assert check.bundle is not None
    assert [epoch.epoch for epoch in run.epochs()] == list(range(EPOCHS))


@pytest.mark.parametrize(
    ("rank", "step", "workers"),  # the workers that go on; three of them as processes
    [(0, 0, 1), (1, 2 * STEPS_PER_EPOCH + 3, 3), (0, _LAST_STEP, 2)],
)
def test_controller_killed_at_a_step(
    rank: int, step: int, workers: int, digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None
) -> None:
    faults = [Fault(kind="kill_controller", rank=rank, step=step)]
    spec = trial_spec(digits, "workers=2")
    words = [msgspec.json.encode(each).decode() for each in (spec, faults)]
    with Begun(sys.executable, "-c", _CONTROLLER, words[0], tmp_path, words[1]) as begun:
        ended = begun.ended()
    assert (ended.code, ended.err) == (_KILLED, "")
    assert_ends_as_without_faults(tmp_path, fingerprint, engine="local" if workers == 3 else "fake", workers=workers)


@pytest.mark.parametrize(
    "sight",
    [
        "ledger/00000-*",
        "checkpoints/00003-*/manifest.json",
        "bundle/model.onnx",
        "report.html",
    ],
)
def test_controller_killed_at_the_sight_of_a_file(
    sight: str, digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None
) -> None:
    with Begun(*PILEUS, *trial_words(digits, "--runs", tmp_path, "--name", "trial", "--workers", "2")) as begun:
        begun.seen(lambda: any((tmp_path / "trial").glob(sight)))
        begun.signal(signal.SIGKILL)
        ended = begun.ended()
    assert ended.code == _KILLED
    assert "Traceback" not in ended.err
    assert_ends_as_without_faults(tmp_path, fingerprint, workers=4)


def test_all_workers_killed_at_once_and_again(digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None) -> None:
    spec = trial_spec(digits, "workers=3")
    faults = [Fault(kind="kill_worker", rank=rank, step=7) for rank in range(3)]
    faults += [Fault(kind="kill_worker", rank=rank, step=STEPS_PER_EPOCH, attempt=2) for rank in (0, 2)]
    result = train(spec, runs=str(tmp_path), name="trial", faults=tuple(faults))
    assert (result.fingerprint, result.restarts) == (fingerprint, 2)
    assert verify_run(find_run("trial", str(tmp_path))).faults == ()


def test_a_worker_that_is_killed_ever_again_ends_the_run(
    digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None
) -> None:
    """Between two checkpoints the number of new gangs is bounded."""
    faults = [Fault(kind="kill_worker", rank=0, step=2, attempt=attempt) for attempt in (1, 2, 3)]
    spec = trial_spec(digits, "workers=2", "engine.max_restarts=2")
    words = [msgspec.json.encode(each).decode() for each in (spec, faults)]
    with Begun(sys.executable, "-c", _CONTROLLER, words[0], tmp_path, words[1]) as begun:
        ended = begun.ended()
    assert "rank 0 was lost: killed by SIGKILL (after 2 restarts without a new checkpoint)" in ended.err
    assert_ends_as_without_faults(tmp_path, fingerprint)


def test_a_worker_that_hangs_counts_as_lost(digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None) -> None:
    words = trial_words(digits, "--runs", tmp_path, "--name", "trial", "--workers", "2")
    with Begun(*PILEUS, *words, "--set", "engine.silence_deadline_s=2") as begun:
        begun.heard("epoch  2")
        worker = next(each for each in psutil.Process(begun.pid).children(recursive=True) if not each.children())
        worker.send_signal(signal.SIGSTOP)
        begun.heard("was lost: no sign of life")
        ended = begun.ended()
    assert ended.code == 0
    assert_ends_as_without_faults(tmp_path, fingerprint)


@pytest.mark.parametrize("sight", ["events/00000000.json", "checkpoints/00001-*/manifest.json"])
def test_what_forks_the_workers_is_killed(
    sight: str, digits: Path, fingerprint: str, tmp_path: Path, no_orphans: None
) -> None:
    """In the start of the gang the command ends and says so; later nothing needs it."""
    with Begun(*PILEUS, *trial_words(digits, "--runs", tmp_path, "--name", "trial", "--workers", "2")) as begun:
        begun.seen(lambda: any((tmp_path / "trial").glob(sight)) and bool(psutil.Process(begun.pid).children()))
        psutil.Process(begun.pid).children()[0].kill()
        ended = begun.ended()
    if "events" in sight:
        assert_told(ended, 1, "worker processes cannot be started", "pileus runs resume")
    else:
        assert ended.code == 0
    assert_ends_as_without_faults(tmp_path, fingerprint)
