"""One suite for every strategy: it learns, its ledger proves, it outlives a worker, and its checkpoint serves others.

What is exact besides is asked for in test_engine.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pileus.engines import connect
from pileus.engines.ports import Engine
from pileus.errors import SpecError
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, train
from pileus.recipes.load import load_recipe
from pileus.spec.job import Fault
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from pileus.store import open_store
from pileus.training.checkpoint import list_checkpoints, load_checkpoint

EPOCHS = 4
LEARNT = 0.88
"""Test accuracy on the embedded digits after so few epochs; exact training reaches 0.95."""
LOCAL = ("strategy.name=local_sgd", "strategy.steps=4")
STRATEGIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fast": ("local", ("strategy.mode=fast",)),
    "local": ("fake", LOCAL),
    "bf16": ("fake", (*LOCAL, "strategy.compression=bf16")),
    "int8": ("fake", (*LOCAL, "strategy.compression=int8")),
    "top_k": ("fake", (*LOCAL, "strategy.compression=top_k", "strategy.top_k=0.1")),
    "balanced": ("local", (*LOCAL, "strategy.balance=true")),
    "outer": ("fake", (*LOCAL, "strategy.outer_lr=0.7", "strategy.outer_momentum=0.5")),
    "one-shot": ("fake", ("strategy.name=local_sgd", "strategy.steps=null")),
}
REPEATS = ("local", "int8", "top_k", "outer", "one-shot")
"""With as many workers, the same bits each time, also after a fault."""


def spec_of(name: str, *pairs: str, workers: int = 2) -> RunSpec:
    engine, settings = STRATEGIES[name]
    words = (f"engine.name={engine}", f"epochs={EPOCHS}", f"workers={workers}", "lanes=1", *settings, *pairs)
    return resolve(load_recipe("digits_cnn"), [parse_setting(word) for word in words])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


Trains = Callable[..., TrainResult]
Trained = Callable[[str], TrainResult]


@pytest.fixture(scope="module")
def trains(runs: str, local_engine: Engine) -> Trains:
    """`train`, by the engine that the spec names."""

    def by_its_engine(spec: RunSpec, **more: Any) -> TrainResult:
        return train(spec, runs=runs, engine=local_engine if spec.engine.name == "local" else None, **more)

    return by_its_engine


@pytest.fixture(scope="module")
def without_faults(trains: Trains) -> Trained:
    """A run by each strategy, which is trained when it is first asked for."""
    return functools.cache(lambda name: trains(spec_of(name), name=name))


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_learns_and_every_sample_is_taken_once(name: str, runs: str, without_faults: Trained) -> None:
    result = without_faults(name)
    assert result.accuracy is not None
    assert result.accuracy > LEARNT
    check = verify_run(find_run(name, runs))
    assert (check.faults, check.epochs_proved) == ((), EPOCHS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_killed_worker_costs_a_start(name: str, runs: str, trains: Trains, without_faults: Trained) -> None:
    fault = Fault(kind="kill_worker", rank=1, step=25)
    result = trains(spec_of(name), name=f"killed-{name}", faults=(fault,))
    assert result.restarts == 1
    assert result.accuracy is not None
    assert result.accuracy > LEARNT
    assert verify_run(find_run(result.run, runs)).faults == ()
    if name in REPEATS:
        assert result.fingerprint == without_faults(name).fingerprint


@pytest.mark.parametrize("name", STRATEGIES)
def test_its_checkpoint_is_that_of_every_strategy(name: str, runs: str, without_faults: Trained) -> None:
    directory = find_run(without_faults(name).run, runs)
    keys = list_checkpoints(directory.store)
    tensors = load_checkpoint(directory.store, keys[-1])[1]
    assert {"weights/1.weight", "optimizer/mean/1.weight"} <= set(tensors)


def test_fast_and_exact_agree_to_rounding(trains: Trains) -> None:
    settings = ("epochs=1", "model=mnist_cnn", "optimizer.name=sgd", "optimizer.lr=0.01")
    weights = []
    for name, more in (("fast-near", ()), ("exact-near", ("strategy.mode=exact",))):
        result = trains(spec_of("fast", *settings, *more), name=name)
        store = open_store(result.uri)
        weights.append(load_checkpoint(store, list_checkpoints(store)[-1])[1])
    for tensor in weights[1]:
        np.testing.assert_allclose(weights[0][tensor], weights[1][tensor], atol=2e-4)


def test_a_worker_without_a_microbatch_takes_part(runs: str, trains: Trains) -> None:
    """The last batch of an epoch has fewer microbatches than there are workers."""
    result = trains(spec_of("fast", "epochs=1", "batch_size=192", "microbatch_size=64", workers=3))
    assert verify_run(find_run(result.run, runs)).faults == ()


@pytest.mark.parametrize("engine", ["fake", "local"])
def test_an_evaluator_tells_what_the_workers_would(engine: str, runs: str, trains: Trains) -> None:
    told = []
    for evaluators in (0, 1):
        words = (f"engine.name={engine}", "epochs=2", "workers=2", "lanes=1", f"evaluators={evaluators}")
        spec = resolve(load_recipe("digits_cnn"), [parse_setting(word) for word in words])
        result = trains(spec, name=f"evaluated-{engine}-{evaluators}")
        told.append((result.fingerprint, find_run(result.run, runs).epochs()[-1].validation_loss))
    assert told[0] == told[1]
    assert told[0][1] is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("strategy.mode=fast", "engine.name=fake"), r"cannot run strategy 'all_reduce \(fast\)'"),
        (("evaluators=1", "checkpoints.keep_best=true"), "need each epoch's validation at its end"),
        (("strategy.name=local_sgd", "ema=0.9"), "ema follows weights that all workers agree on"),
    ],
)
def test_pairs_that_cannot_work_are_refused(settings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        spec = resolve(load_recipe("digits_cnn"), [parse_setting(word) for word in (*settings, "workers=2")])
        train(spec, runs=str(tmp_path))


def test_engines_say_what_they_can() -> None:
    for name in ("fake", "local"):
        engine = connect(name)
        assert {"single", "all_reduce", "local_sgd"} <= engine.capabilities.strategies
        engine.close()
