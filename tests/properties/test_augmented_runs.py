"""Whatever augmentation does, a run ends with the same weights for any number of workers and after a death."""

from __future__ import annotations

import pytest

from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, train
from pileus.recipes.load import load_recipe
from pileus.spec.job import Fault
from pileus.spec.resolve import parse_setting, resolve

PAIRED = {
    "mixup": ("augment.mix.name=mixup", "augment.mix.alpha=0.4", "augment.crop.name=pad", "augment.crop.padding=1"),
    "cutmix": ("augment.mix.name=cutmix", "augment.mix.probability=0.5", "augment.crop.name=resized"),
}
"""Every transform is in one of the two, but for saturation, which needs colour."""
BOTH = ("augment.flip=0.5", "augment.brightness=0.2", "augment.contrast=0.2", "augment.cutout=2")
ALIKE = ("engine.name=fake", "microbatch_size=14", *BOTH)
"""Microbatches that divide neither the batch nor the epoch."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


def run(runs: str, name: str, *pairs: str, faults: tuple[Fault, ...] = ()) -> TrainResult:
    settings = [parse_setting(pair) for pair in (*ALIKE, *PAIRED[name], *pairs)]
    return train(resolve(load_recipe("digits_cnn"), settings), runs=runs, faults=faults)


@pytest.mark.parametrize("name", PAIRED)
def test_the_weights_are_the_same_for_any_number_of_workers(name: str, runs: str) -> None:
    results = [run(runs, name, "epochs=1", f"workers={workers}") for workers in (1, 2, 3, 4)]
    assert {result.fingerprint for result in results} == {results[0].fingerprint}
    assert results[0].fingerprint != run(runs, name, "epochs=1", "augment.mix=null").fingerprint


def test_a_death_changes_no_bit(runs: str) -> None:
    """At step 30, in the second epoch."""
    whole = run(runs, "mixup", "epochs=2")
    killed = run(runs, "mixup", "epochs=2", "workers=2", faults=(Fault(kind="kill_worker", rank=1, step=30),))
    assert (killed.fingerprint, killed.restarts) == (whole.fingerprint, 1)
    assert verify_run(find_run(killed.run, runs)).faults == ()
