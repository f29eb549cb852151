"""The suite of engines, held to by those that place their workers.

In the order of the gangs' sizes: places stay for the next gang where they can, and each new one imports torch anew.
"""

from __future__ import annotations

import pytest

from pileus.engines.ports import Engine
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, train
from pileus.spec.job import Fault
from tests.contracts import test_engine as suite
from tests.contracts.test_engine import reference, runs, spec_of

__all__ = ["reference", "runs"]

pytestmark = pytest.mark.service

test_an_ended_launch_leaves_nothing_and_ends_soon = suite.test_an_ended_launch_leaves_nothing_and_ends_soon
test_a_launch_told_to_stop_leaves_in_order = suite.test_a_launch_told_to_stop_leaves_in_order
test_a_failing_worker_is_reported_with_its_rank = (
    suite.test_a_failing_worker_is_reported_with_its_rank_and_not_tried_again
)
test_a_loss_that_is_not_finite_stops_the_run = suite.test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step


@pytest.mark.parametrize(("rank", "step"), [(0, 0), (1, 25)])
def test_a_killed_worker_changes_no_bit(
    engine: Engine, rank: int, step: int, runs: str, reference: TrainResult
) -> None:
    suite.test_a_killed_worker_changes_no_bit(engine, rank, step, runs, reference)


def test_a_killed_place_changes_no_bit(engine: Engine, runs: str, reference: TrainResult) -> None:
    """The process of a Ray actor, of a Dask worker, of a Python worker of Spark: a rank's controller is its host."""
    fault = Fault(kind="kill_controller", rank=1, step=25)
    result = train(spec_of(2, f"engine.name={engine.name}"), runs=runs, faults=(fault,), engine=engine)
    assert (result.fingerprint, result.restarts) == (reference.fingerprint, 1)
    assert verify_run(find_run(result.run, runs)).faults == ()


def test_a_failed_run_is_taken_up_with_other_workers(engine: Engine, runs: str, reference: TrainResult) -> None:
    suite.test_a_failed_run_is_taken_up_with_other_workers(engine, 3, runs, reference)


@pytest.mark.parametrize(
    ("workers", "pairs", "is_exact"),
    [
        (2, ("strategy.name=parameter_server",), True),
        (3, ("strategy.mode=fast",), False),
        (3, ("strategy.name=local_sgd", "strategy.steps=4"), False),
    ],
)
def test_every_strategy_runs(
    engine: Engine, workers: int, pairs: tuple[str, ...], is_exact: bool, runs: str, reference: TrainResult
) -> None:
    result = train(spec_of(workers, f"engine.name={engine.name}", *pairs), runs=runs, engine=engine)
    assert result.samples_seen == reference.samples_seen
    assert (result.fingerprint == reference.fingerprint) is is_exact
    assert verify_run(find_run(result.run, runs)).faults == ()


@pytest.mark.parametrize(("workers", "lanes"), [(3, 1), (4, 1), (1, 2)])
def test_the_fingerprint_is_that_of_one_worker(
    engine: Engine, workers: int, lanes: int, runs: str, reference: TrainResult
) -> None:
    suite.test_the_fingerprint_is_that_of_one_worker(engine, workers, lanes, runs, reference)


test_a_launch_tells_a_death = suite.test_a_launch_tells_a_death_without_a_last_word
test_a_worker_that_cannot_read_its_records_says_why = suite.test_a_worker_that_cannot_read_its_records_says_why


def test_a_map_has_the_room_that_a_gang_took(engine: Engine, runs: str, reference: TrainResult) -> None:
    spec = spec_of(2, f"engine.name={engine.name}")
    assert train(spec, runs=runs, engine=engine).fingerprint == reference.fingerprint
    assert list(engine.map(negated, range(4), workers=2, deadline_s=60)) == [0, -1, -2, -3]
    assert train(spec, runs=runs, engine=engine).fingerprint == reference.fingerprint


def negated(number: int) -> int:
    return -number
