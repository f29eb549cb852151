"""What a run begins with: seeded weights, or the trunk of a donor that the run holds itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pileus.bundles.weights import read_weights
from pileus.errors import Damaged, UsageError, WorkFailed
from pileus.operations.train import TrainResult, resume, train
from pileus.recipes.load import load_recipe
from pileus.runs.directory import RunDirectory
from pileus.spec.job import Fault
from pileus.spec.resolve import parse_setting, resolve
from pileus.store import open_store
from pileus.training.checkpoint import Tensors, list_checkpoints, load_checkpoint
from pileus.training.lanes import WEIGHTS
from pileus.training.network import DONOR, read_donor

HEAD = "10."


def run(runs: str, *pairs: str, name: str, faults: tuple[Fault, ...] = ()) -> TrainResult:
    settings = [parse_setting(pair) for pair in ("engine.name=fake", "seed=5", *pairs)]
    return train(resolve(load_recipe("digits_cnn"), settings), runs=runs, name=name, faults=faults)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("runs"))
    run(folder, "epochs=6", "seed=0", name="donor")
    return folder


def last_weights(place: str) -> Tensors:
    store = open_store(place)
    tensors = load_checkpoint(store, list_checkpoints(store)[-1])[1]
    return {name.removeprefix(WEIGHTS): array for name, array in tensors.items() if name.startswith(WEIGHTS)}


def test_training_the_head_leaves_every_bit_of_the_trunk(runs: str) -> None:
    donor = read_weights(f"{runs}/donor")[1]
    results = [
        run(
            runs,
            "epochs=1",
            "transfer.bundle=donor",
            "transfer.train=head",
            f"workers={workers}",
            name=f"head-{workers}",
        )
        for workers in (1, 3)
    ]
    assert results[0].fingerprint == results[1].fingerprint
    for tensors in (last_weights(f"{runs}/head-1"), read_weights(f"{runs}/head-1")[1]):
        same = {name for name in donor if np.array_equal(donor[name], tensors[name])}
        assert same == {name for name in donor if not name.startswith(HEAD)}


def test_training_all_changes_every_tensor(runs: str) -> None:
    donor = read_weights(f"{runs}/donor")[1]
    run(runs, "epochs=1", "transfer.bundle=donor", name="whole")
    tensors = last_weights(f"{runs}/whole")
    assert not [name for name in donor if np.array_equal(donor[name], tensors[name])]


def test_a_trunk_is_worth_more_than_none_after_one_epoch(runs: str) -> None:
    scratch = run(runs, "epochs=1", name="scratch").accuracy
    assert scratch is not None
    for train_part in ("all", "head"):
        settings = (f"transfer.bundle={runs}/donor/bundle", f"transfer.train={train_part}")
        moved = run(runs, "epochs=1", *settings, name=f"moved-{train_part}").accuracy
        assert moved is not None
        assert moved > scratch + 0.05


def test_a_run_keeps_its_donor_and_says_which_it_was(runs: str) -> None:
    """So that it may be taken up when the bundle is no more where it was."""
    shutil.copytree(f"{runs}/donor/bundle", f"{runs}/passing")
    settings = ("epochs=2", f"transfer.bundle={runs}/passing", "transfer.train=head")
    whole = run(runs, *settings, name="kept")
    with pytest.raises(WorkFailed):
        broken = (*settings, "engine.max_restarts=0")
        run(runs, *broken, name="broken", faults=(Fault(kind="kill_worker", rank=0, step=25),))
    shutil.rmtree(f"{runs}/passing")
    assert resume(f"{runs}/broken").fingerprint == whole.fingerprint
    manifest = read_weights(f"{runs}/donor")[0]
    told = read_weights(f"{runs}/kept")[0].provenance.spec["transfer"]
    assert told == {"bundle": f"{runs}/passing", "train": "head", "head": "new", "version": manifest.version}


def test_a_donor_that_was_changed_is_damage(runs: str) -> None:
    run(runs, "epochs=1", "transfer.bundle=donor", name="swapped")
    spec = RunDirectory(open_store(f"{runs}/swapped")).plan().spec
    assert read_donor(spec, f"{runs}/swapped") is not None
    shutil.rmtree(f"{runs}/swapped/{DONOR}")
    shutil.copytree(f"{runs}/swapped/bundle", f"{runs}/swapped/{DONOR}")
    with pytest.raises(Damaged, match="and the run began with"):
        read_donor(spec, f"{runs}/swapped")


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (("transfer.bundle=nowhere",), "there is no bundle at 'nowhere'"),
        (("transfer.bundle=donor", "transfer.version=123abc"), r"transfer\.version=123abc is asked for"),
        (("transfer.bundle=donor", "model=mnist_cnn"), "the trunk of mnist_cnn for 8x8x1 is not that of the bundle"),
    ],
)
def test_a_donor_that_cannot_be_is_refused_before_a_run_is_begun(pairs: tuple[str, ...], told: str, runs: str) -> None:
    with pytest.raises(UsageError, match=told):
        run(runs, *pairs, name="refused")
    assert not Path(runs, "refused").exists()
