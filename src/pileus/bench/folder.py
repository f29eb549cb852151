"""The folder of a study: one process at a time works in it, and a stopped study goes on there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pileus.errors import UsageError
from pileus.measure.environment import describe_environment
from pileus.spec.values import Spec, canonical_json

WORK = ".work"
"""In the folder until the study is done: sets, caches and the like."""
FIGURES = "figures.json"
"""Written last: with it the study is finished."""
_PLAN, _ENVIRONMENT = "trials.json", "environment.json"


class Tell(Protocol):
    def __call__(self, done: int, total: int, /) -> None: ...


class Watch(Protocol):
    """Who waits for the study."""

    def say(self, text: str, /) -> None: ...

    def progress(self, title: str, unit: str, /) -> AbstractContextManager[Tell]: ...


def begin(plan: Spec, out: Path) -> None:
    """The design and the machine, where they are not there yet. UsageError where the folder is not this study's."""
    path = out / _PLAN
    if path.exists():
        if path.read_bytes() != canonical_json(plan):
            raise UsageError(f"{out} holds another study, or one of other images; choose another --out.")
        if (out / FIGURES).exists():
            raise UsageError(f"{out} holds this study already, finished: {out / 'report.html'}; choose another --out.")
        return
    present = sorted(child.name for child in out.iterdir())
    if present:
        raise UsageError(f"--out must be new or empty, or a study to go on with ({out} holds {present[0]!r}).")
    (out / _ENVIRONMENT).write_bytes(canonical_json(describe_environment()))
    path.write_bytes(canonical_json(plan))


def finish(out: Path, page: str, readme: str, figures: Mapping[str, Any]) -> None:
    """report.html, README.md and, last, figures.json: with it the study is finished."""
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "README.md").write_text(readme, encoding="utf-8")
    (out / FIGURES).write_bytes(canonical_json(figures))


def environment_of(out: Path) -> dict[str, Any]:
    """The machine that the study was begun on."""
    return msgspec.json.decode((out / _ENVIRONMENT).read_bytes(), type=dict[str, Any])


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """UsageError where another process is at work there: two studies at once would measure one another."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"another process runs a study in {out}; wait for it or choose another --out.") from error
    try:
        yield
    finally:
        os.close(descriptor)


def duration(seconds: float) -> str:
    """About so long, for a person."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
