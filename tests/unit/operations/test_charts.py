"""Charts are written as epochs end, once each, and never stop a run."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
import pytest

from pileus.errors import StoreError
from pileus.measure.tensorboard import epoch_key
from pileus.operations.charts import Charted
from pileus.runs.directory import RunDirectory
from pileus.spec.job import EpochDone
from pileus.store.memory import MemoryStore
from pileus.training.figures import note_figures
from tests.unit.measure.test_figures import epochs

SAMPLES = 640
EPOCHS = epochs(3)


class Listener:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int) -> None:
        self.done.append(done)


class Trial:
    """A run of which epochs end."""

    def __init__(self) -> None:
        self.listener, self.store = Listener(), MemoryStore()
        self.charted = self.begin()

    def begin(self) -> Charted:
        """A new drive of the same run."""
        return Charted(self.listener, RunDirectory(self.store), SAMPLES)

    def end(self, done: EpochDone) -> None:
        note_figures(self.store, done)
        self.charted.progress(done.samples, 3 * SAMPLES)

    def versions(self) -> dict[str, str]:
        return {key: self.store.get(key).version for key in self.store.list("tensorboard/")}


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_each_epoch_is_charted_once_as_it_ends(trial: Trial) -> None:
    trial.charted.progress(100, 3 * SAMPLES)
    assert trial.versions() == {}
    trial.end(EPOCHS[0])
    first = trial.versions()
    assert list(first) == [epoch_key(0)]
    trial.end(EPOCHS[1])
    assert list(trial.versions()) == [epoch_key(0), epoch_key(1)]
    assert trial.versions()[epoch_key(0)] == first[epoch_key(0)]
    assert (trial.listener.said, trial.listener.done) == ([], [100, SAMPLES, 2 * SAMPLES])


def test_a_new_drive_leaves_what_is_charted_and_charts_anew_what_is_trained_anew(trial: Trial) -> None:
    trial.end(EPOCHS[0])
    trial.end(EPOCHS[1])
    before = trial.versions()
    trial.charted = trial.begin()
    trial.end(msgspec.structs.replace(EPOCHS[1], seconds=9.0))
    after = trial.versions()
    assert after[epoch_key(0)] == before[epoch_key(0)]
    assert after[epoch_key(1)] != before[epoch_key(1)]


def test_what_cannot_be_written_is_told_once_and_made_good(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    put: Callable[..., str] = trial.store.put

    def full(key: str, content: bytes, *, if_absent: bool = False) -> str:
        if key.startswith("tensorboard/"):
            raise StoreError("the disk is full")
        return put(key, content, if_absent=if_absent)

    monkeypatch.setattr(trial.store, "put", full)
    trial.end(EPOCHS[0])
    trial.end(EPOCHS[1])
    assert trial.listener.said == ["no charts for now: the disk is full"]
    monkeypatch.undo()
    trial.end(EPOCHS[2])
    assert list(trial.versions()) == [epoch_key(epoch) for epoch in range(3)]


def test_a_run_without_the_library_goes_without_charts(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    trial.end(EPOCHS[0])
    trial.end(EPOCHS[1])
    assert trial.versions() == {}
    (said,) = trial.listener.said
    assert "pileus[train]" in said
