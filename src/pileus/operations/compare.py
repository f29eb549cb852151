"""Where two runs part ways: settings, data, machines, what came of them, and the first step after which they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pileus.errors import Damaged
from pileus.runs.directory import RunDirectory
from pileus.spec.values import Spec, leaves
from pileus.training.checkpoint import describe_checkpoint, list_checkpoints
from pileus.training.ledger import pages_back_from

Both = tuple[Any, Any]
"""Of the first run and of the second; None where it has none."""


class Parting(Spec, frozen=True, kw_only=True):
    """The first step that both runs marked, after which their weights differ."""

    epoch: int
    """Counted from 0, as `step`; the first run's."""
    step: int
    """Global."""
    steps_unmarked: int
    """Right before it, steps that one of the runs has no mark of: one of these may be the first in truth."""


class Difference(Spec, frozen=True, kw_only=True):
    """Where two runs part ways."""

    runs: tuple[str, str]
    settings: dict[str, Both]
    """Settings of the spec that differ."""
    environment: dict[str, Both]
    """What differs between the machines and libraries that the runs were begun on."""
    outcome: dict[str, Both]
    """What came of them, whether it differs or not."""
    same_data: bool
    first_epoch: int | None
    """The first epoch, counted from 0, after which the weights differ; None where they agree as far as both went."""
    epochs_compared: int
    first_step: Parting | None
    """None where no step that both marked differs."""
    steps_compared: int
    """Global steps after which both runs marked their weights; a strategy that does not agree after each has none."""


def compare_runs(first: RunDirectory, second: RunDirectory) -> Difference:
    """UsageError where one is no run; Damaged where what they hold cannot be read."""
    plans = (first.plan(), second.plan())
    weights = [{epoch.epoch: epoch.fingerprint for epoch in run.epochs()} for run in (first, second)]
    both = sorted(weights[0].keys() & weights[1].keys())
    parted = [epoch for epoch in both if weights[0][epoch] != weights[1][epoch]]
    marks = _marks(first), _marks(second)
    return Difference(
        runs=(plans[0].name, plans[1].name),
        settings=_differing(*(leaves(msgspec.to_builtins(plan.spec)) for plan in plans)),
        environment=_differing(leaves(first.environment()), leaves(second.environment())),
        outcome=_side_by_side(_outcome(first), _outcome(second)),
        same_data=plans[0].records_fingerprint == plans[1].records_fingerprint,
        first_epoch=parted[0] if parted else None,
        epochs_compared=len(both),
        first_step=_parting(*marks),
        steps_compared=len(np.intersect1d(marks[0].steps, marks[1].steps)),
    )


class _Marks(NamedTuple):
    """Checksums of a run's weights, by global step; the steps ascend."""

    steps: NDArray[np.int64]
    epochs: NDArray[np.int64]
    values: NDArray[np.uint32]


def _marks(directory: RunDirectory) -> _Marks:
    """From the pages that the newest checkpoint counts."""
    keys = list_checkpoints(directory.store)
    newest = describe_checkpoint(directory.store, keys[-1]).manifest.ledger if keys else None
    marked = [page for page in pages_back_from(directory.store, newest) if page.head.marked][::-1]
    for page in marked:
        if len(page.marks) != page.head.last_step - page.head.first_step:
            raise Damaged(f"a ledger page of {directory.place} has not a mark for each step; restore it from a copy.")
    steps = [page.head.first_global_step + np.arange(len(page.marks)) for page in marked]
    epochs = [np.full(len(page.marks), page.head.epoch) for page in marked]
    return _Marks(
        np.concatenate([*steps, np.empty(0, np.int64)]),
        np.concatenate([*epochs, np.empty(0, np.int64)]),
        np.concatenate([*(page.marks for page in marked), np.empty(0, np.uint32)]),
    )


def _parting(first: _Marks, second: _Marks) -> Parting | None:
    steps, rows, other_rows = np.intersect1d(first.steps, second.steps, assume_unique=True, return_indices=True)
    differing = np.flatnonzero(first.values[rows] != second.values[other_rows])
    if not len(differing):
        return None
    place = differing[0]
    before = int(steps[place - 1]) if place else -1
    return Parting(
        epoch=int(first.epochs[rows[place]]),
        step=int(steps[place]),
        steps_unmarked=int(steps[place]) - before - 1,
    )


def _outcome(directory: RunDirectory) -> dict[str, Any]:
    """As far as the run went."""
    epochs, result = directory.epochs(), directory.result(dict[str, Any]) or {}
    found: dict[str, Any] = {"accuracy": result.get("accuracy"), "epochs": len(epochs)}
    if epochs:
        last, seconds = epochs[-1], sum(epoch.seconds for epoch in epochs)
        found |= {
            "validation_accuracy": last.validation_accuracy,
            "train_loss": last.train_loss,
            "steps": last.step,
            "train_s": round(seconds, 3),
            "samples_per_s": round(last.samples / seconds, 1) if seconds > 0 else None,
            "fingerprint": last.fingerprint,
        }
    return found


def _side_by_side(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Both]:
    return {name: (first.get(name), second.get(name)) for name in first | second}


def _differing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Both]:
    pairs = _side_by_side(first, second)
    return {name: pairs[name] for name in sorted(pairs) if pairs[name][0] != pairs[name][1]}
