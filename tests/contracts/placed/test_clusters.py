"""Runs on clusters that are there, whose own processes are killed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from pileus.engines import connect
from pileus.engines.ports import Engine
from pileus.errors import MissingService, WorkFailed
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, resume, train
from pileus.spec.job import Fault
from tests.e2e.digits import digits, fingerprint
from tests.e2e.running import trial_spec
from tests.servers.clusters import Cluster, dask_cluster, ray_cluster, spark_cluster

__all__ = ["digits", "fingerprint"]

pytestmark = pytest.mark.service
CLUSTERS: dict[str, Callable[[Path], AbstractContextManager[Cluster]]] = {
    "ray": ray_cluster,
    "dask": dask_cluster,
    "spark": spark_cluster,
}
NOBODY = {"ray": "127.0.0.1:1", "dask": "tcp://127.0.0.1:1", "spark": "spark://127.0.0.1:1"}


@pytest.fixture(scope="module", params=list(CLUSTERS))
def named(request: pytest.FixtureRequest, nothing_left_behind: None) -> Iterator[tuple[str, Cluster]]:
    """An engine's name, and a cluster of it."""
    name = str(request.param)
    with (
        tempfile.TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as folder,
        CLUSTERS[name](Path(folder)) as cluster,
    ):
        yield name, cluster


@pytest.fixture
def cluster(named: tuple[str, Cluster]) -> Cluster:
    return named[1]


@pytest.fixture(scope="module")
def engine(named: tuple[str, Cluster]) -> Iterator[Engine]:
    chosen = connect(named[0], address=named[1].address)
    yield chosen
    chosen.close()


def trained(engine: Engine, digits: Path, runs: Path, *pairs: str, **more: object) -> TrainResult:
    spec = trial_spec(digits, f"engine.name={engine.name}", "workers=2", "checkpoints.every_epochs=4", *pairs)
    return train(spec, runs=str(runs), name="trial", engine=engine, **more)  # type: ignore[arg-type]


class Killer:
    """Kills what hosts a place, once, when the run has come so far."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.lines: list[str] = []
        self.killed: list[psutil.Process] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
        if text.startswith("epoch 10/") and not self.killed:
            places = [process for process in psutil.process_iter() if self._hosts_a_place(process)]
            node = self._cluster.node_of(places[0])
            node.kill()
            self.killed.append(node)

    def progress(self, done: int, total: int) -> None:
        return None

    def _hosts_a_place(self, process: psutil.Process) -> bool:
        try:
            return self._cluster.place(process.cmdline()) and any(
                "pileus.engines.processes.nursery" in child.cmdline() for child in process.children()
            )
        except psutil.Error:
            return False


@pytest.mark.parametrize(("name", "address"), NOBODY.items())
def test_a_cluster_that_is_not_there_is_named(name: str, address: str, digits: Path, tmp_path: Path) -> None:
    engine = connect(name, address=address)
    with pytest.raises(MissingService, match=re.escape(address)):
        trained(engine, digits, tmp_path)
    engine.close()


def test_a_run_begun_here_is_finished_by_another_engine(
    engine: Engine, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    """In mid-epoch, which is five steps long."""
    with pytest.raises(WorkFailed, match="rank 1 was lost"):
        pairs = ("engine.max_restarts=0", "checkpoints.every_s=0.001")
        trained(engine, digits, tmp_path, *pairs, faults=(Fault(kind="kill_worker", rank=1, step=43),))
    assert resume(f"{tmp_path}/trial", engine="fake", workers=3).fingerprint == fingerprint


def test_a_process_of_the_cluster_that_is_killed_changes_no_bit(
    engine: Engine, cluster: Cluster, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    """A raylet, a Dask worker, an executor of Spark; the run is held up for a while so that it is not over before."""
    killer = Killer(cluster)
    held = tuple(Fault(kind="pause", rank=0, step=step, seconds=0.2) for step in range(50, 80))
    result = trained(engine, digits, tmp_path, observer=killer, faults=held)
    assert killer.killed
    assert (result.fingerprint, result.restarts > 0) == (fingerprint, True)
    assert any("was lost: its host place" in line for line in killer.lines)
    pages = [line for line in killer.lines if line.startswith(f"dashboard of {engine.name}: http://")]
    assert len(pages) == (0 if engine.name == "ray" else 1), "the tests' Ray serves none"
    assert verify_run(find_run("trial", str(tmp_path))).faults == ()


def test_a_gang_that_finds_no_room_says_what_it_waits_for(
    engine: Engine, cluster: Cluster, digits: Path, tmp_path: Path
) -> None:
    pairs = (f"workers={cluster.slots}", "strategy.name=parameter_server", "engine.start_deadline_s=4")
    with pytest.raises(WorkFailed, match=rf"rank {cluster.slots}: waiting for {engine.name.title()} to"):
        trained(engine, digits, tmp_path, *pairs)
