"""One drive of a trial by a process of its own, which may be killed, or be without a network.

`python -m pileus.operations.trials.apart` does what the one JSON document on its standard input says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pileus.engines.connect import connect
from pileus.engines.ports import GangEvent
from pileus.errors import PileusError
from pileus.operations.train import train
from pileus.operations.trials.network import UNSHARE, set_network, this_network
from pileus.operations.trials.scenarios import End
from pileus.operations.trials.watched import Overdue, Watched
from pileus.spec.job import EpochDone, Fault
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec

_ENDS: dict[int, End] = {0: "done", 1: "failed", 130: "interrupted", -signal.SIGKILL: "killed"}


class Drive(Spec, frozen=True, kw_only=True):
    """What is driven."""

    spec: RunSpec
    runs: str
    name: str
    faults: tuple[Fault, ...]
    deadline_s: float
    cut_after_epoch: int | None = None
    """None: the network stays as it is."""
    others_network: str = ""
    """That of who asks, which nobody may cut."""


class Driven(NamedTuple):
    end: End
    told: str


def drive_apart(drives: Sequence[Drive]) -> list[Driven]:
    """All at once. Overdue where one is not over by its deadline."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for drive in drives:
            processes.append(_begun(drive))
        return [_driven(process, drive.deadline_s) for process, drive in zip(processes, drives, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _begun(drive: Drive) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(
        [*UNSHARE, *command] if drive.cut_after_epoch is not None else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdin is not None
    with process.stdin, contextlib.suppress(BrokenPipeError):  # it has ended, which its code will tell
        process.stdin.write(msgspec.json.encode(drive).decode())
    process.stdin = None
    return process


def _driven(process: subprocess.Popen[str], deadline_s: float) -> Driven:
    try:
        _, told = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise Overdue("the trial was not over by its deadline.") from None
    end = _ENDS.get(process.returncode)
    assert end is not None, f"the drive ended with {process.returncode}:\n{told}"
    return Driven(end, told)


class _ToStderr:
    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def progress(self, done: int, total: int) -> None:
        return None


def main() -> int:
    drive = msgspec.json.decode(sys.stdin.buffer.read(), type=Drive)
    cut = drive.cut_after_epoch
    if cut is not None:
        assert this_network() != drive.others_network, "only a network of one's own may be cut"
        set_network(up=True)

    def heard(event: GangEvent) -> None:
        if cut is not None and isinstance(event, EpochDone) and event.epoch == cut:
            set_network(up=False)

    def launching(number: int) -> None:
        if cut is not None and number > 1:
            set_network(up=True)

    engine = connect(drive.spec.engine.name, address=drive.spec.engine.address)
    watched = Watched(engine, time.monotonic() + drive.deadline_s, heard, launching)
    try:
        train(drive.spec, runs=drive.runs, name=drive.name, engine=watched, observer=_ToStderr(), faults=drive.faults)
    except PileusError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
