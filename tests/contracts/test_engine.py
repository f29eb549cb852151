"""One suite for every engine: the promises that a run's weights and ledger rest on.

P0: the same samples at each step. P1: the same weights, bit for bit, for any engine and number of workers.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pileus.engines import connect
from pileus.engines.fake import FakeEngine, FakeLaunch
from pileus.engines.ports import Engine, Launch
from pileus.errors import SpecError, WorkFailed
from pileus.operations.observer import Silent
from pileus.operations.prepare import prepare_records
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.recipes.load import load_recipe
from pileus.runs.life.events import Lost
from pileus.runs.usage import read_usage
from pileus.spec.job import Failed, Fault, Job, Joined, Peers, Stop, Stopped
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec

ENGINES = ["fake", "local"]
_LOOKS = 600


def spec_of(workers: int, *pairs: str) -> RunSpec:
    settings = [parse_setting(pair) for pair in ("epochs=2", f"workers={workers}", *pairs)]
    return resolve(load_recipe("digits_cnn"), settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def reference(runs: str) -> TrainResult:
    """One worker, one lane, no exchange, no fault."""
    return train(spec_of(1, "engine.name=fake", "strategy.name=single", "lanes=1"), runs=runs)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, local_engine: Engine) -> Engine:
    return local_engine if request.param == "local" else connect(str(request.param))


@pytest.mark.parametrize(("workers", "lanes"), [(1, 2), (2, 1), (3, 1), (4, 1)])
def test_the_fingerprint_is_that_of_one_worker(
    engine: Engine, workers: int, lanes: int, runs: str, reference: TrainResult
) -> None:
    result = train(spec_of(workers, f"engine.name={engine.name}", f"lanes={lanes}"), runs=runs, engine=engine)
    assert result.fingerprint == reference.fingerprint
    assert result.samples_seen == reference.samples_seen
    directory = find_run(result.run, runs)
    check = verify_run(directory)
    assert (check.faults, check.epochs_proved) == ((), 2)
    watched = {each.worker for each in read_usage(directory.store).watched if len(each.looks) > 1}
    assert watched == {f"rank {rank}" for rank in range(workers) if engine.capabilities.processes}


@pytest.mark.parametrize(("rank", "step"), [(0, 0), (1, 7), (1, 25), (0, 39)])
def test_a_killed_worker_changes_no_bit(
    engine: Engine, rank: int, step: int, runs: str, reference: TrainResult
) -> None:
    fault = Fault(kind="kill_worker", rank=rank, step=step)
    result = train(spec_of(2, f"engine.name={engine.name}"), runs=runs, faults=(fault,), engine=engine)
    assert (result.fingerprint, result.restarts) == (reference.fingerprint, 1)
    assert verify_run(find_run(result.run, runs)).faults == ()


def test_a_killed_worker_costs_no_more_than_a_commit(engine: Engine, runs: str, reference: TrainResult) -> None:
    """The checkpoint lies at step 20; whoever began there again would meet the second fault.

    The pause leaves a busy machine time to finish a commit of what was done by then.
    """
    if not engine.capabilities.memory:
        pytest.skip(f"what the workers of engine {engine.name!r} keep in memory goes with them")
    faults = (
        Fault(kind="pause", rank=0, step=34, seconds=0.5),
        Fault(kind="kill_worker", rank=1, step=38),
        Fault(kind="raise", rank=0, step=22, attempt=2),
    )
    spec = spec_of(2, f"engine.name={engine.name}", "checkpoints.commit_s=0.001")
    result = train(spec, runs=runs, faults=faults, engine=engine)
    assert (result.fingerprint, result.restarts) == (reference.fingerprint, 1)
    assert verify_run(find_run(result.run, runs)).faults == ()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failed_run_is_taken_up_with_other_workers(
    engine: Engine, workers: int, runs: str, reference: TrainResult
) -> None:
    name = f"given-up-{engine.name}-{workers}"
    settings = (f"engine.name={engine.name}", "engine.max_restarts=0")
    with pytest.raises(WorkFailed, match="rank 1 was lost"):
        train(
            spec_of(2, *settings),
            runs=runs,
            name=name,
            faults=(Fault(kind="kill_worker", rank=1, step=30),),
            engine=engine,
        )
    result = resume(f"{runs}/{name}", workers=workers, engine=engine)
    assert result.fingerprint == reference.fingerprint
    assert verify_run(find_run(name, runs)).faults == ()


def test_a_failing_worker_is_reported_with_its_rank_and_not_tried_again(engine: Engine, runs: str) -> None:
    fault = Fault(kind="raise", rank=1, step=3)
    with pytest.raises(WorkFailed, match="rank 1, step 3: fault asked for"):
        train(
            spec_of(2, f"engine.name={engine.name}"),
            runs=runs,
            name=f"raise-{engine.name}",
            faults=(fault,),
            engine=engine,
        )


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(engine: Engine, runs: str) -> None:
    settings = (f"engine.name={engine.name}", "optimizer.name=sgd", "optimizer.lr=1e30", "warmup_epochs=0")
    with pytest.raises(WorkFailed, match=r"step \d+.*not finite"):
        train(spec_of(2, *settings), runs=runs, name=f"diverged-{engine.name}", engine=engine)


def launched(engine: Engine, runs: str, workers: int, **job: Any) -> Launch:
    spec = spec_of(workers, f"engine.name={engine.name}", "epochs=500")
    records = prepare_records(spec.data, runs, Silent())
    name = f"{runs}/bare-{engine.name}-{time.monotonic_ns()}"
    Path(name).mkdir()
    return engine.launch(Job(run_uri=name, records_uri=records.uri, spec=spec, attempt=1, session="word", **job))


def heard(launch: Launch, kind: type, times: int = 1) -> list[Any]:
    """The next so many events of a kind; others are passed over."""
    found: list[Any] = []
    for _ in range(_LOOKS):
        event = launch.next(0.2)
        if isinstance(event, kind):
            found.append(event)
            if len(found) == times:
                return found
    raise AssertionError(f"{kind.__name__} was heard {len(found)} times, not {times}")


def test_a_launch_told_to_stop_leaves_in_order(engine: Engine, runs: str) -> None:
    launch = launched(engine, runs, 2)
    try:
        addresses = {event.rank: event.address for event in heard(launch, Joined, 2)}
        launch.send(Peers(addresses=(addresses[0], addresses[1])))
        launch.send(Stop(reason="enough"))
        steps = set()
        for _ in range(_LOOKS):
            event = launch.next(0.2)
            if isinstance(event, Stopped):
                steps.add((event.rank, event.step))
            if len(steps) == 2:
                break
        assert {rank for rank, _ in steps} == {0, 1}
        assert len({step for _, step in steps}) == 1
    finally:
        launch.end()


def test_an_ended_launch_leaves_nothing_and_ends_soon(engine: Engine, runs: str) -> None:
    launch = launched(engine, runs, 2)
    heard(launch, Joined, 1)
    started = time.monotonic()
    launch.end()
    assert time.monotonic() - started < 20


class Deaf(FakeEngine):
    """An engine whose workers never report."""

    name = "deaf"

    def launch(self, job: Job) -> FakeLaunch:
        launch = super().launch(job)
        launch.next = lambda timeout_s: None  # type: ignore[method-assign]
        return launch


def test_a_gang_that_misses_a_worker_is_told_by_rank(runs: str) -> None:
    with pytest.raises(WorkFailed, match=r"not whole by the start deadline: rank 0, 1 of 2"):
        train(spec_of(2, "engine.start_deadline_s=0.01"), runs=runs, name="late", engine=Deaf())


def test_a_launch_tells_a_death_without_a_last_word(engine: Engine, runs: str) -> None:
    launch = launched(engine, runs, 1, faults=(Fault(kind="kill_worker", rank=0, step=2),))
    try:
        (joined,) = heard(launch, Joined)
        launch.send(Peers(addresses=(joined.address,)))
        (lost,) = heard(launch, Lost)
        assert (lost.rank, "kill" in lost.cause) == (0, True)
    finally:
        launch.end()


def test_an_unknown_engine_names_the_known() -> None:
    with pytest.raises(SpecError, match=r"no engine is called 'lokal'; did you mean 'local'\?"):
        connect("lokal")


def test_a_worker_that_cannot_read_its_records_says_why(engine: Engine, runs: str) -> None:
    spec = spec_of(1, f"engine.name={engine.name}")
    launch = engine.launch(
        Job(run_uri=f"{runs}/none", records_uri=f"{runs}/nowhere", spec=spec, attempt=1, session="word")
    )
    try:
        for _ in range(_LOOKS):
            event = launch.next(0.2)
            if isinstance(event, Failed):
                break
        assert isinstance(event, Failed)
        assert event.cause in ("bad_input", "storage")
        assert "nowhere" in event.message
    finally:
        launch.end()
