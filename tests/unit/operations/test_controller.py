"""The controller, over the engine that ships as a fake and a store in memory."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from pileus.engines.fake import FakeEngine, FakeLaunch
from pileus.engines.ports import GangEvent
from pileus.errors import WorkFailed
from pileus.operations.runs import describe_run, find_run
from pileus.operations.train import TrainResult, train
from pileus.spec.job import Beat, Job, Joined
from pileus.spec.run import RunSpec
from pileus.spec.values import canonical_json
from tests.e2e.running import trial_spec, write_digits


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "records")


def spec_of(records: Path, *pairs: str) -> RunSpec:
    return trial_spec(records, "epochs=2", "engine.name=fake", "engine.start_deadline_s=0.5", *pairs)


class LateEngine(FakeEngine):
    """The last worker of its first gang reads its records for ever."""

    def launch(self, job: Job) -> FakeLaunch:
        launch = super().launch(job)
        if job.attempt == 1:
            late, heard = job.spec.workers - 1, launch.next

            def without_the_late(timeout_s: float) -> GangEvent | None:
                event = heard(timeout_s)
                if isinstance(event, Joined) and event.rank == late:
                    return Beat(rank=late, epoch=0, step=0, doing="reading records")
                return event

            launch.next = without_the_late  # type: ignore[method-assign]
        return launch


def trained(spec: RunSpec, engine: FakeEngine, runs: str) -> TrainResult:
    return train(spec, runs=runs, name="trial", engine=engine)


def test_a_worker_that_is_late_is_named_with_what_it_is_doing(records: Path) -> None:
    runs = f"memory:{secrets.token_hex(4)}"
    with pytest.raises(WorkFailed, match=r"rank 2 of 3 had not reported \(rank 2: reading records\)"):
        trained(spec_of(records, "workers=3"), LateEngine(), runs)
    line = describe_run(find_run("trial", runs))
    assert (line.state, line.cause, line.blame) == ("failed", "peer_lost", "platform")


def test_a_gang_that_may_shrink_goes_on_without_the_late_one(records: Path) -> None:
    alone = trained(spec_of(records, "workers=1"), FakeEngine(), f"memory:{secrets.token_hex(4)}")
    runs = f"memory:{secrets.token_hex(4)}"
    result = trained(spec_of(records, "workers=3", "engine.min_workers=2"), LateEngine(), runs)
    assert (result.workers, result.fingerprint) == (2, alone.fingerprint)


def test_an_event_log_is_plain_json(records: Path) -> None:
    runs = f"memory:{secrets.token_hex(4)}"
    trained(spec_of(records, "workers=2"), FakeEngine(), runs)
    events = find_run("trial", runs).events()
    kinds = [event.kind for event in events]
    assert kinds == ["starting", "launch", "training", "checkpoint", "checkpoint", "ending", "packing", "done"]
    assert all(canonical_json(event) for event in events)
