"""Parameter servers on every engine: the weights of one worker where that is promised, an accuracy band elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.engines import connect
from pileus.engines.ports import Engine, Launch
from pileus.errors import WorkFailed
from pileus.operations.observer import Silent
from pileus.operations.prepare import prepare_records
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, train
from pileus.recipes.load import load_recipe
from pileus.runs.directory import RunDirectory
from pileus.spec.job import Failed, Fault, Finished, Job, Joined, Peers, Stop, Stopped
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec
from pileus.store import open_store
from pileus.training.checkpoint import newest_whole
from pileus.training.figures import read_figures

_LOOKS = 600


def spec_of(workers: int, *pairs: str) -> RunSpec:
    settings = [parse_setting(pair) for pair in ("epochs=2", f"workers={workers}", "lanes=1", *pairs)]
    return resolve(load_recipe("digits_cnn"), settings)


def served(workers: int, servers: int, mode: str, *pairs: str) -> RunSpec:
    strategy = ("strategy.name=parameter_server", f"strategy.servers={servers}", f"strategy.mode={mode}")
    return spec_of(workers, *strategy, *pairs)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def reference(runs: str) -> TrainResult:
    return train(spec_of(1, "engine.name=fake", "strategy.name=single"), runs=runs)


@pytest.fixture
def engine(request: pytest.FixtureRequest, local_engine: Engine) -> Engine:
    return local_engine if request.param == "local" else connect(str(request.param))


def on(*cases: tuple[Any, ...], names: str = "") -> pytest.MarkDecorator:
    """Cases of an engine and more; few of them with processes, which take longer."""
    return pytest.mark.parametrize(["engine", *names.split()], cases, indirect=["engine"])


def proved(result: TrainResult, runs: str) -> None:
    check = verify_run(find_run(result.run, runs))
    assert (check.faults, check.epochs_proved) == ((), 2)


@on(("fake", 1, 2), ("fake", 2, 1), ("fake", 3, 3), ("local", 3, 2), names="workers servers")
def test_synchronous_steps_are_those_of_one_worker(
    engine: Engine, workers: int, servers: int, runs: str, reference: TrainResult
) -> None:
    result = train(served(workers, servers, "sync", f"engine.name={engine.name}"), runs=runs, engine=engine)
    assert result.fingerprint == reference.fingerprint
    proved(result, runs)
    told = [done.agreement for done in read_figures(open_store(result.uri))]
    assert all(figures["messages_per_step"] == 2 * servers for figures in told)
    assert told[0]["staleness_0"] == servers * workers * result.steps / 2
    assert "staleness_1" not in told[0]


@on(("fake",))
def test_no_staleness_is_synchronous(engine: Engine, runs: str, reference: TrainResult) -> None:
    spec = served(2, 2, "stale", "strategy.staleness=0", f"engine.name={engine.name}")
    assert train(spec, runs=runs, engine=engine).fingerprint == reference.fingerprint


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer.name=sgd", "optimizer.nesterov=true", "optimizer.weight_decay=0.01", "ema=0.95"),
        ("optimizer.name=adam",),
    ],
)
def test_every_optimizer_and_average_is_cut_without_a_trace(settings: tuple[str, ...], runs: str) -> None:
    changed = ("engine.name=fake", *settings)
    alone = train(spec_of(1, "strategy.name=single", *changed), runs=runs)
    result = train(served(2, 3, "sync", *changed), runs=runs)
    assert result.fingerprint == alone.fingerprint


def test_a_step_sends_what_it_needs_and_hardly_more(runs: str) -> None:
    spec = served(2, 2, "sync", "engine.name=fake", "model=mnist_cnn", "epochs=1")
    result = train(spec, runs=runs)
    directory = RunDirectory(open_store(result.uri))
    checkpoint = newest_whole(directory.store)
    assert checkpoint is not None
    state_bytes = checkpoint.manifest.content_bytes / 3
    (done,) = directory.epochs()
    assert done.agreement["bytes_per_step"] <= 1.02 * 2 * state_bytes


@on(("fake", "none"), ("fake", "inverse"), ("local", "none"), names="correction")
def test_stale_steps_learn_within_their_bound(engine: Engine, correction: str, runs: str) -> None:
    settings = ("epochs=8", "strategy.staleness=2", f"strategy.correction={correction}")
    result = train(served(2, 2, "stale", f"engine.name={engine.name}", *settings), runs=runs, engine=engine)
    assert result.accuracy is not None and result.accuracy > 0.9
    pushes: dict[str, float] = {}
    for done in read_figures(open_store(result.uri)):
        pushes |= {name: count for name, count in done.agreement.items() if name.startswith("staleness")}
    assert "staleness_1" in pushes
    assert set(pushes) <= {"staleness_0", "staleness_1", "staleness_2"}


@on(("fake",), ("local",))
def test_asynchronous_steps_learn(engine: Engine, runs: str) -> None:
    result = train(served(2, 2, "async", "epochs=8", f"engine.name={engine.name}"), runs=runs, engine=engine)
    assert result.accuracy is not None and result.accuracy > 0.9
    assert verify_run(find_run(result.run, runs)).faults == ()


@on(("fake", 0, 25), ("fake", 2, 0), ("fake", 3, 30), ("local", 1, 7), ("local", 2, 25), names="rank step")
def test_a_killed_worker_or_server_changes_no_bit(
    engine: Engine, rank: int, step: int, runs: str, reference: TrainResult
) -> None:
    fault = Fault(kind="kill_worker", rank=rank, step=step)
    spec = served(2, 2, "sync", f"engine.name={engine.name}")
    result = train(spec, runs=runs, faults=(fault,), engine=engine)
    assert (result.fingerprint, result.restarts) == (reference.fingerprint, 1)
    proved(result, runs)


@on(("fake", 1), ("fake", 2), ("local", 2), names="rank")
def test_an_asynchronous_run_outlives_a_loss(engine: Engine, rank: int, runs: str) -> None:
    fault = Fault(kind="kill_worker", rank=rank, step=30)
    result = train(served(2, 2, "async", f"engine.name={engine.name}"), runs=runs, faults=(fault,), engine=engine)
    assert result.restarts == 1
    proved(result, runs)


@on(("local", 0), names="rank")
def test_connections_that_a_cut_has_broken_are_made_again(
    engine: Engine, rank: int, runs: str, reference: TrainResult
) -> None:
    """Of one worker and its server, one hears nothing of the other; each push still counts once."""
    settings = (f"engine.name={engine.name}", "engine.silence_deadline_s=2")
    faults = (Fault(kind="cut", rank=rank, step=7),)
    result = train(served(1, 2, "sync", *settings), runs=runs, faults=faults, engine=engine)
    assert (result.fingerprint, result.restarts) == (reference.fingerprint, 0)
    proved(result, runs)


def launched(engine: Engine, job: Job) -> Launch:
    """A gang that is whole."""
    launch = engine.launch(job)
    addresses: dict[int, str] = {}
    for _ in range(_LOOKS):
        event = launch.next(0.2)
        if isinstance(event, Joined):
            addresses[event.rank] = event.address
        if len(addresses) == job.spec.gang_size:
            launch.send(Peers(addresses=tuple(addresses[rank] for rank in sorted(addresses))))
            return launch
    raise AssertionError(f"only {sorted(addresses)} joined")


def last_words(launch: Launch, kind: type, times: int) -> list[Any]:
    """Of so many members; what else they say is passed over."""
    found: list[Any] = []
    for _ in range(_LOOKS):
        event = launch.next(0.2)
        assert not isinstance(event, Failed), event
        if isinstance(event, kind):
            found.append(event)
            if len(found) == times:
                return found
    raise AssertionError(f"{kind.__name__} was heard {len(found)} times, not {times}")


@on(("fake", "sync"), ("fake", "stale"), ("fake", "async"), ("local", "async"), names="mode")
def test_all_leave_after_the_same_step_when_told_to_stop(engine: Engine, mode: str, runs: str) -> None:
    spec = served(3, 2, mode, "epochs=500", f"engine.name={engine.name}")
    records = prepare_records(spec.data, runs, Silent())
    place = f"{runs}/stopped-{engine.name}-{mode}"
    Path(place).mkdir()
    job = Job(run_uri=place, records_uri=records.uri, spec=spec, attempt=1, session="word")
    launch = launched(engine, job)
    try:
        launch.send(Stop(reason="enough"))
        stopped = last_words(launch, Stopped, spec.gang_size)
    finally:
        launch.end()
    assert {event.rank for event in stopped} == set(range(5))
    assert len({event.step for event in stopped}) == 1
    checkpoint = newest_whole(open_store(place))
    assert checkpoint is not None and checkpoint.manifest.position.global_step == stopped[0].step


@on(("fake", True), ("fake", False), ("local", True), names="begins_served")
def test_a_run_goes_on_under_another_strategy(
    engine: Engine, begins_served: bool, runs: str, reference: TrainResult
) -> None:
    name = f"changed-{engine.name}-{begins_served}"
    with_servers = served(2, 2, "sync", f"engine.name={engine.name}", "engine.max_restarts=0")
    without = msgspec.structs.replace(with_servers, strategy=spec_of(2).strategy)
    first, second = (with_servers, without) if begins_served else (without, with_servers)
    fault = Fault(kind="kill_worker", rank=1, step=30)
    with pytest.raises(WorkFailed, match="rank 1 was lost"):
        train(first, runs=runs, name=name, faults=(fault,), engine=engine)
    directory = RunDirectory(open_store(f"{runs}/{name}"))
    checkpoint = newest_whole(directory.store)
    assert checkpoint is not None
    job = Job(
        run_uri=directory.uri,
        records_uri=directory.plan().records_uri,
        spec=second,
        attempt=2,
        session="another",
        checkpoint=checkpoint.key,
    )
    launch = launched(engine, job)
    try:
        finished = last_words(launch, Finished, second.gang_size)
    finally:
        launch.end()
    assert {event.fingerprint for event in finished} == {reference.fingerprint}
