"""Whatever a run's schedule is, it ends with the same weights for any number of workers and after any break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pileus.errors import SourceError, WorkFailed
from pileus.operations.observer import Silent
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.recipes.load import load_recipe
from pileus.spec.job import Fault
from pileus.spec.resolve import parse_setting, resolve
from pileus.training.checkpoint import describe_checkpoint, list_checkpoints, load_checkpoint
from pileus.training.lanes import WEIGHTS
from pileus.training.update import AVERAGE
from tests.contracts.tiny import idx_bytes, noise

SCHEDULES = {
    "growth": ("epochs=3", "batch_growth.1=128", "batch_growth.2=200", "schedule=one_cycle"),
    "average": ("epochs=3", "ema=0.98", "clip_norm=1.0", "data.validation=0.1"),
    "bf16": ("epochs=2", "precision=bf16"),
    "best": ("epochs=3", "data.validation=0.1", "checkpoints.keep_best=true", "checkpoints.keep=2"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


def run(runs: str, *pairs: str, **others: object) -> TrainResult:
    settings = [parse_setting(pair) for pair in ("engine.name=fake", *pairs)]
    return train(resolve(load_recipe("digits_cnn"), settings), runs=runs, **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def grown(runs: str) -> TrainResult:
    return run(runs, *SCHEDULES["growth"])


@pytest.fixture(scope="module")
def ended_early(runs: str) -> TrainResult:
    return run(runs, *STOPS)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_number_of_workers_and_no_break_changes_a_bit(name: str, runs: str, request: pytest.FixtureRequest) -> None:
    """The break comes at the first step of the second epoch, where the batch of one of the schedules grows."""
    alone = request.getfixturevalue("grown") if name == "growth" else run(runs, *SCHEDULES[name])
    results = [alone, *(run(runs, *SCHEDULES[name], f"workers={workers}") for workers in (2, 3))]
    step = find_run(results[0].run, runs).epochs()[0].step
    fault = Fault(kind="kill_worker", rank=1, step=step)
    with pytest.raises(WorkFailed):
        broken = ("workers=2", "engine.max_restarts=0", "checkpoints.commit_s=null")
        run(runs, *SCHEDULES[name], *broken, name=f"broken-{name}", faults=(fault,))
    resumed = resume(f"{runs}/broken-{name}", workers=3)
    assert {result.fingerprint for result in [*results, resumed]} == {results[0].fingerprint}
    assert len({result.accuracy for result in [*results, resumed]}) == 1
    for result in (results[2], resumed):
        check = verify_run(find_run(result.run, runs))
        assert (check.faults, check.epochs_proved) == ((), result.epochs)


def test_a_grown_batch_takes_fewer_steps_over_the_same_samples(runs: str, grown: TrainResult) -> None:
    epochs = find_run(grown.run, runs).epochs()
    per_epoch = grown.samples_seen // 3
    steps = [each.step for each in epochs]
    assert steps == [-(-per_epoch // 64), steps[0] + -(-per_epoch // 128), steps[1] + -(-per_epoch // 200)]


def test_what_is_validated_and_packed_is_the_average(runs: str) -> None:
    """With a decay so near to 1 that the average stays at the first weights, where nothing is learnt."""
    result = run(runs, "epochs=3", "ema=0.99999", "data.validation=0.1")
    found = find_run(result.run, runs)
    figures = found.epochs()[-1]
    assert figures.train_accuracy > 0.7
    assert figures.validation_accuracy is not None and figures.validation_accuracy < 0.5
    assert result.accuracy is not None and result.accuracy < 0.5
    tensors = load_checkpoint(found.store, list_checkpoints(found.store)[-1])[1]
    moving = [name.removeprefix(AVERAGE) for name in tensors if name.startswith(AVERAGE)]
    assert moving
    assert all(tensors[AVERAGE + name].tobytes() != tensors[WEIGHTS + name].tobytes() for name in moving)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_servers_keep_the_average_too(mode: str, runs: str) -> None:
    """Every worker validates it; of synchronous ones to the same bits as exact all-reduce."""
    settings = ("epochs=2", "ema=0.9", "data.validation=0.1", "batch_growth.1=128", "precision=bf16")
    served = run(runs, *settings, "strategy.name=parameter_server", f"strategy.mode={mode}", "workers=2")
    expected = run(runs, *settings)
    figures, reference = (find_run(result.run, runs).epochs() for result in (served, expected))
    assert [each.step for each in figures][1:] == [each.step for each in reference][1:]
    if mode == "sync":
        assert served.fingerprint == expected.fingerprint
        assert [each.validation_loss for each in figures] == [each.validation_loss for each in reference]
    else:
        assert served.validation_accuracy is not None and served.validation_accuracy > 0.5


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


STOPS = (
    *("schedule=constant", "optimizer.lr=0.02", "data.validation=0.1", "epochs=40"),
    *("early_stop.patience=2", "checkpoints.every_epochs=3"),
)
"""At so high a rate, which nothing lowers, the validation loss soon goes up and down."""


def test_a_run_ends_early_where_patience_does(runs: str, ended_early: TrainResult) -> None:
    said = Said()
    result = run(runs, *STOPS, "workers=2", observer=said)
    found = find_run(result.run, runs)
    losses = [each.validation_loss or 0.0 for each in found.epochs()]
    assert result.epochs == len(losses) < 40
    assert losses.index(min(losses)) == len(losses) - 3
    newest = describe_checkpoint(found.store, list_checkpoints(found.store)[-1]).manifest
    assert (newest.position.epoch, newest.position.step) == (len(losses), 0)
    assert (newest.position.stale_epochs, newest.position.best_loss) == (2, min(losses))
    assert f"ended early, after {len(losses)} of 40 epochs" in "\n".join(said.lines)
    check = verify_run(found)
    assert (check.faults, check.epochs_proved) == ((), result.epochs)
    assert ended_early.fingerprint == result.fingerprint


def test_patience_is_remembered_over_a_break(runs: str, ended_early: TrainResult) -> None:
    whole = ended_early
    last = find_run(whole.run, runs).epochs()[-1].step
    with pytest.raises(WorkFailed):
        given_up = ("engine.max_restarts=0", "checkpoints.commit_s=null", "checkpoints.every_epochs=1")
        fault = Fault(kind="kill_worker", rank=0, step=last - 5)
        run(runs, *STOPS, *given_up, name="impatient", faults=(fault,))
    resumed = resume(f"{runs}/impatient")
    assert (resumed.fingerprint, resumed.epochs) == (whole.fingerprint, whole.epochs)


def test_the_best_is_kept_and_packed(runs: str) -> None:
    result = run(runs, *STOPS, "checkpoints.keep_best=true", "checkpoints.keep=2", "checkpoints.every_epochs=1")
    found = find_run(result.run, runs)
    epochs = found.epochs()
    best = min(epochs, key=lambda each: each.validation_loss or 0.0)
    kept = {
        manifest.position.epoch: manifest
        for manifest in (describe_checkpoint(found.store, key).manifest for key in list_checkpoints(found.store))
    }
    assert sorted(kept) == [best.epoch + 1, len(epochs) - 1, len(epochs)]
    assert kept[best.epoch + 1].validation_loss == best.validation_loss
    assert result.validation_accuracy == best.validation_accuracy
    assert result.fingerprint == epochs[-1].fingerprint != best.fingerprint
    provenance = found.store.get("bundle/manifest.json").content
    assert best.fingerprint.encode() in provenance


@pytest.mark.parametrize("pair", ["early_stop.patience=1", "checkpoints.keep_best=true"])
def test_without_validation_samples_what_goes_by_them_is_refused(pair: str, runs: str, tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(2051, noise(30, 8, 8)))
        labels_N = (np.arange(30) % 3).astype(np.uint8)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(2049, labels_N))
    source = f"data.source={tmp_path}"
    with pytest.raises(SourceError, match=r"--set data\.validation=0\.1"):
        run(runs, source, pair, name="unvalidated")
    assert not Path(runs, "unvalidated").exists()
