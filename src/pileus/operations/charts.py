"""A run's `tensorboard/`: a file as each epoch ends, so that a run can be watched, and one of the result."""

from __future__ import annotations

import contextlib
import time

from pileus.errors import MissingExtra, StoreError
from pileus.measure.tensorboard import FOLDER, RESULT_KEY, Outcome, epoch_events, epoch_key, result_events
from pileus.operations.observer import Observer
from pileus.runs.directory import RunDirectory
from pileus.spec.job import EpochDone


class Charted:
    """An observer that charts each epoch as it ends. What cannot be charted then is told, and never stops a run."""

    def __init__(self, observer: Observer, directory: RunDirectory, samples_per_epoch: int) -> None:
        self._observer = observer
        self._directory = directory
        self._samples_per_epoch = samples_per_epoch
        self._charted = _charted(directory)
        self._is_told = False

    def say(self, text: str) -> None:
        self._observer.say(text)

    def progress(self, done: int, total: int) -> None:
        self._observer.progress(done, total)
        if done and done % self._samples_per_epoch == 0:
            self._chart()

    def _chart(self) -> None:
        try:
            _chart_rest(self._directory, self._charted)
        except (StoreError, MissingExtra) as error:
            if not self._is_told:
                self._observer.say(f"no charts for now: {error}")
            self._is_told = True


def _charted(directory: RunDirectory) -> dict[int, EpochDone]:
    """The epochs of the run whose files are there."""
    present = set(directory.store.list(FOLDER))
    return {done.epoch: done for done in directory.epochs() if epoch_key(done.epoch) in present}


def _chart_rest(directory: RunDirectory, charted: dict[int, EpochDone]) -> None:
    """Write, and add to `charted`, the epochs of the run that are not in it as they are now."""
    before = None
    for done in directory.epochs():
        if charted.get(done.epoch) != done:
            directory.store.put(epoch_key(done.epoch), epoch_events(done, before, time.time()))
            charted[done.epoch] = done
        before = done


def chart_result(directory: RunDirectory, outcome: Outcome) -> None:
    """Write the file of the result, after those of epochs that are missing. Nothing without tensorboardX."""
    with contextlib.suppress(MissingExtra):
        _chart_rest(directory, _charted(directory))
        directory.store.put(RESULT_KEY, result_events(outcome, time.time()))
