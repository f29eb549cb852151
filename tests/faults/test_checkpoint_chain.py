"""A damaged newest checkpoint, and a disk that is full: the one before it stands, and going on changes no bit."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import resume
from pileus.training.checkpoint import list_checkpoints
from tests.e2e.running import (
    EPOCHS,
    PILEUS,
    Begun,
    alone,
    assert_told,
    here,
    trial_words,
)

Capture = pytest.CaptureFixture[str]
_ROOM_BYTES = 8 << 20
"""Of the small disk: all that a run writes, and little more."""
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def begun_runs(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a run that was stopped with several checkpoints behind it."""
    runs = tmp_path_factory.mktemp("begun")
    with Begun(*PILEUS, *trial_words(digits, "--runs", runs, "--name", "trial")) as begun:
        begun.heard("epoch  6")
        begun.signal(signal.SIGINT)
        assert begun.ended().code == 130
    assert len(list_checkpoints(find_run("trial", str(runs)).store)) >= 2
    return runs


@pytest.fixture
def runs(begun_runs: Path, tmp_path: Path) -> Path:
    """A copy of one's own of the run."""
    shutil.copytree(begun_runs, tmp_path / "runs")
    return tmp_path / "runs"


def truncate(folder: Path) -> None:
    state = folder / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])


def flip(folder: Path) -> None:
    state = folder / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)


def lose_content(folder: Path) -> None:
    (folder / "state.safetensors").unlink()


def lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def spoil_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\x00" * 100)


@pytest.mark.parametrize("damage", [truncate, flip, lose_content, lose_manifest, spoil_manifest])
def test_of_a_damaged_newest_checkpoint_the_one_before_is_taken_and_that_is_said(
    damage: Callable[[Path], None], runs: Path, fingerprint: str, capsys: Capture
) -> None:
    keys = list_checkpoints(find_run("trial", str(runs)).store)
    damage(runs / "trial" / keys[-1])
    resumed = here(capsys, "runs", "resume", runs / "trial", "--engine", "fake", "--workers", "2", "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
    assert "checkpoint passed over" in resumed.err
    assert keys[-1] in resumed.err
    assert f"going on from {keys[-2]}" in resumed.err
    check = verify_run(find_run("trial", str(runs)))
    assert (check.faults, check.epochs_proved) == ((), EPOCHS)


def test_where_every_checkpoint_is_damaged_the_run_begins_anew_and_says_so(
    runs: Path, fingerprint: str, capsys: Capture
) -> None:
    for key in list_checkpoints(find_run("trial", str(runs)).store):
        flip(runs / "trial" / key)
    resumed = here(capsys, "runs", "resume", runs / "trial", "--engine", "fake", "--json")
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
    assert "no checkpoint to go on from: beginning anew" in resumed.err


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_last_good_one(runs: Path, fingerprint: str) -> None:
    """Files may not grow beyond a bound that events keep and checkpoints do not."""
    keys = list_checkpoints(find_run("trial", str(runs)).store)
    words = ("runs", "resume", str(runs / "trial"))
    size = (runs / "trial" / keys[-1] / "state.safetensors").stat().st_size
    with Begun(sys.executable, "-c", _LIMITED, str(size // 2), *PILEUS, *words) as begun:
        ended = begun.ended()
    assert_told(ended, 1, "rank 0", "File too large", "pileus runs resume")
    assert verify_run(find_run("trial", str(runs))).faults == ()
    assert keys[-1] in list_checkpoints(find_run("trial", str(runs)).store)
    assert resume(str(runs / "trial"), engine="fake").fingerprint == fingerprint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of few bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_ROOM_BYTES}", "pileus-trial", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_the_last_good_checkpoint(
    digits: Path, fingerprint: str, small_disk: Path, capsys: Capture
) -> None:
    ballast = small_disk / "ballast"
    words = trial_words(digits, "--runs", small_disk, "--name", "trial", "--workers", "2")
    with Begun(*PILEUS, *words) as begun:
        begun.heard("epoch  2")
        fill(ballast)
        ended = begun.ended()
    assert_told(ended, 1, "the disk is full", "pileus runs resume")
    ballast.unlink()
    resumed = alone("runs", "resume", small_disk / "trial", "--engine", "fake", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["fingerprint"] == fingerprint
    assert verify_run(find_run("trial", str(small_disk))).faults == ()


def fill(ballast: Path) -> None:
    """The disk, to its last byte."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
