"""Two runs side by side: what differs, and the first step after which their weights do, as far as it is known."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from pileus.cli.runs_output import told_difference
from pileus.errors import Damaged
from pileus.measure.environment import describe_environment
from pileus.operations.compare import Difference, Parting, compare_runs
from pileus.runs.directory import Plan, RunDirectory
from pileus.spec.run import Data, RunSpec
from pileus.store.memory import MemoryStore
from pileus.training.checkpoint import Position, write_checkpoint
from pileus.training.figures import note_figures
from pileus.training.ledger import Page, PageHead, write_page
from tests.unit.measure.test_figures import epochs

STEPS = 4
"""An epoch's."""
ENVIRONMENT = describe_environment()


class Run:
    """A run directory as training leaves it: a page of the ledger an epoch, each with its marks."""

    def __init__(self, name: str, *, data: str = "the same", **settings: Any) -> None:
        self.directory = RunDirectory(MemoryStore(name))
        spec = RunSpec(model="digits_cnn", data=Data(source="embedded:digits"), **settings)
        plan = Plan(name=name, recipe="r", spec=spec, records_uri="", records_fingerprint=data, pileus_version="0")
        self.directory.create(plan, ENVIRONMENT)
        self._page: str | None = None
        self._epochs = 0

    def train(self, *marks: list[int] | None, fingerprint: str = "") -> Run:
        """An epoch for each list of marks; None: an epoch whose page has none."""
        for of_epoch in marks:
            epoch, first = self._epochs, self._epochs * STEPS
            head = PageHead(
                epoch=epoch,
                first_step=0,
                last_step=STEPS,
                samples=1,
                previous=self._page,
                first_global_step=first,
                marked=of_epoch is not None,
            )
            page = Page(head, np.zeros(1, np.uint32), np.array(of_epoch or [], np.uint32))
            self._page = write_page(self.directory.store, page)
            done = msgspec.structs.replace(epochs(epoch + 1)[-1], fingerprint=fingerprint or str(of_epoch))
            note_figures(self.directory.store, done)
            self._epochs += 1
        position = Position(epoch=self._epochs, global_step=self._epochs * STEPS)
        write_checkpoint(self.directory.store, {"weights/w": np.zeros(1, np.float32)}, position, "", self._page)
        return self


def compared(first: Run, second: Run) -> Difference:
    return compare_runs(first.directory, second.directory)


def words(difference: Difference) -> list[str]:
    """What is said below the table."""
    return [str(line) for line in told_difference(difference).renderables[2:]]


def test_runs_that_agree_are_told_to_agree() -> None:
    found = compared(Run("a").train([1, 2, 3, 4], [5, 6, 7, 8]), Run("b", workers=2).train([1, 2, 3, 4], [5, 6, 7, 8]))
    assert (found.first_step, found.steps_compared, found.first_epoch, found.epochs_compared) == (None, 8, None, 2)
    assert found.settings == {"workers": (1, 2)}
    assert found.environment == {}
    assert found.same_data
    assert words(found) == [
        "the data are the same",
        "the weights agree bit for bit after each of the 8 steps that both marked",
        "the weights agree bit for bit after each of 2 epochs",
    ]


def test_the_first_step_that_differs_is_named() -> None:
    found = compared(Run("a").train([1, 2, 3, 4], [5, 6, 7, 8]), Run("b").train([1, 2, 3, 4], [5, 60, 7, 8]))
    assert found.first_step == Parting(epoch=1, step=5, steps_unmarked=0)
    assert found.first_epoch == 1
    assert words(found)[2:] == [
        "the weights differ first after step 6 (epoch 2)",
        "the weights differ from epoch 2 on",
    ]


def test_a_shorter_run_is_compared_as_far_as_it_went() -> None:
    found = compared(Run("a").train([1, 2, 3, 4]), Run("b").train([1, 2, 3, 4], [5, 6, 7, 8]))
    assert (found.first_step, found.steps_compared, found.epochs_compared) == (None, 4, 1)


def test_steps_that_one_did_not_mark_are_told() -> None:
    found = compared(
        Run("a").train([1, 2, 3, 4], None, [9, 9, 9, 9]), Run("b").train([1, 2, 3, 4], [5, 6, 7, 8], [0, 9, 9, 9])
    )
    assert found.first_step == Parting(epoch=2, step=8, steps_unmarked=4)
    told = "the weights differ first after step 9 (epoch 3), or within the 4 steps before it, which not both marked"
    assert told in words(found)


def test_a_run_that_marks_no_step_is_compared_by_epochs() -> None:
    found = compared(Run("a").train(None, fingerprint="x"), Run("b").train([1, 2, 3, 4], fingerprint="y"))
    assert (found.first_step, found.steps_compared, found.first_epoch) == (None, 0, 0)
    assert "no step was marked by both runs" in words(found)[-2]
    assert words(found)[-1] == "the weights differ from epoch 1 on"


def test_runs_that_were_only_begun_can_be_compared() -> None:
    found = compared(Run("a", data="one"), Run("b", data="other", seed=3))
    assert (found.same_data, found.epochs_compared, found.steps_compared) == (False, 0, 0)
    assert found.settings == {"seed": (0, 3)}
    assert found.outcome == {"accuracy": (None, None), "epochs": (0, 0)}
    assert "the data differ" in words(found)


def test_accuracy_and_time_stand_side_by_side() -> None:
    first, second = Run("a").train([1, 2, 3, 4]), Run("b")
    found = compared(first, second).outcome
    assert found["epochs"] == (1, 0)
    assert found["train_s"] == (1.5, None)
    assert found["samples_per_s"] == (pytest.approx(640 / 1.5, abs=0.1), None)


def test_machines_and_libraries_that_differ_are_named() -> None:
    first, second = Run("a"), Run("b")
    libraries = {**ENVIRONMENT.libraries, "numpy": "1.0"}
    second.directory.store.put(
        "environment.json", msgspec.json.encode(msgspec.structs.replace(ENVIRONMENT, libraries=libraries))
    )
    assert compared(first, second).environment == {"libraries.numpy": (ENVIRONMENT.libraries["numpy"], "1.0")}


def test_a_page_that_lacks_marks_is_damage() -> None:
    run = Run("a").train([1, 2, 3])
    with pytest.raises(Damaged, match="a mark for each step"):
        compared(run, Run("b"))
