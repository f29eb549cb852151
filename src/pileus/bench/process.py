"""One trial as a process of its own: what an earlier one left in memory, threads and caches must not enter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.errors import PileusError
from pileus.spec.values import Spec

Task = TypeVar("Task", bound=Spec)
Outcome = TypeVar("Outcome", bound=Spec)
_MOST_ERROR_CHARS = 300


def run_process(module: str, task: Spec, kind: type[Outcome], deadline_s: float) -> Outcome | str:
    """`python -m module`, in a session of its own, so that Ctrl-C reaches this process alone. Text where it failed."""
    try:
        ended = subprocess.run(
            (sys.executable, "-m", module),
            input=msgspec.json.encode(task),
            capture_output=True,
            timeout=deadline_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than its deadline of {deadline_s:g} s"
    try:
        return msgspec.json.decode(ended.stdout, type=kind)
    except msgspec.DecodeError:
        return _failure(ended)


def answer(measure: Callable[[Task], Spec], kind: type[Task]) -> int:
    """In that process: the task comes by stdin, one line of JSON goes out. The exit code: 0, or that of the error."""
    try:
        outcome = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=kind))
    except PileusError as error:
        sys.stdout.write(msgspec.json.encode({"error": str(error)}).decode() + "\n")
        return error.exit_code
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0


def told(failure: str, out: Path) -> str:
    """A failure as a row tells it: one line, without paths of this machine."""
    return " ".join(failure.replace(str(out.resolve()), "OUT").split())[:_MOST_ERROR_CHARS]


def _failure(ended: subprocess.CompletedProcess[bytes]) -> str:
    try:
        return msgspec.json.decode(ended.stdout, type=dict[str, str])["error"]
    except (msgspec.DecodeError, KeyError):
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"its process ended with {ended.returncode}: {last or 'without a word'}"
