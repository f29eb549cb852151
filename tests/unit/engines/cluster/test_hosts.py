"""Hosts as processes of their own on loopback, started as other tools start them."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pileus.cli.in_cluster import driven
from pileus.engines.cluster.engine import ClusterEngine
from pileus.engines.cluster.environment import Cluster, parse, printed
from pileus.engines.hosts.handshake import Arrival
from pileus.errors import MissingService, UsageError, WorkFailed
from pileus.operations.observer import Observer
from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import TrainResult, train
from pileus.spec.job import Fault
from tests.e2e.running import PILEUS, environment, trial_spec, trial_words

_DEADLINE_S = 90.0


class Story:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, done: int, total: int) -> None:
        return None


class Hosts:
    """Every host but the chief's, each a process."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, task: str, *words: str, **more: str) -> None:
        self.processes[task] = subprocess.Popen(
            [*PILEUS, *(words or ("cluster", "join"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(TF_CONFIG=self._texts[task], **more),
        )

    def ended(self, task: str) -> tuple[int, str]:
        """Exit code, and all that was said."""
        process = self.processes.pop(task)
        out, err = process.communicate(timeout=_DEADLINE_S)
        return process.returncode, out + err

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture
def texts() -> dict[str, str]:
    """TF_CONFIG of three hosts, at ports that were free just now."""
    with contextlib.ExitStack() as stack:
        ears = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return printed([f"127.0.0.1:{ear.getsockname()[1]}" for ear in ears])


@pytest.fixture
def chief(texts: dict[str, str]) -> Cluster:
    return parse(texts["chief 0"])


@pytest.fixture
def hosts(texts: dict[str, str]) -> Iterator[Hosts]:
    started = Hosts(texts)
    yield started
    started.close()


def driven_run(
    cluster: Cluster,
    digits: Path,
    runs: Path,
    *pairs: str,
    faults: tuple[Fault, ...] = (),
    story: Observer | None = None,
) -> TrainResult:
    spec = trial_spec(digits, "engine.name=cluster", "workers=3", *pairs)
    with driven(cluster) as engine:
        return train(spec, runs=str(runs), name="trial", engine=engine, faults=faults, observer=story)


def test_the_same_command_on_three_hosts_ends_with_the_weights_of_one_worker(
    texts: dict[str, str], hosts: Hosts, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    words = trial_words(digits, "--runs", tmp_path, "--name", "trial", "--engine", "cluster", "--json")
    for task in texts:
        hosts.start(task, *words)
    code, said = hosts.ended("chief 0")
    assert code == 0, said
    result = json.loads(said[: said.rindex("}") + 1])
    assert (result["fingerprint"], result["workers"], result["engine"]) == (fingerprint, 3, "cluster")
    assert [hosts.ended(task)[0] for task in ("worker 0", "worker 1")] == [0, 0]
    assert verify_run(find_run("trial", str(tmp_path))).faults == ()


def test_local_steps_on_three_hosts_end_as_on_one(chief: Cluster, hosts: Hosts, digits: Path, tmp_path: Path) -> None:
    """Fast all-reduce over hosts is tried on engines that place."""
    pairs = ("strategy.name=local_sgd", "strategy.steps=4")
    local = train(trial_spec(digits, "workers=3", *pairs), runs=str(tmp_path), name="local")
    hosts.start("worker 0")
    hosts.start("worker 1")
    result = driven_run(chief, digits, tmp_path, *pairs)
    assert result.fingerprint == local.fingerprint


def test_parameter_servers_live_on_the_hosts_that_the_cluster_names(
    digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        ears = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        addresses = [f"127.0.0.1:{ear.getsockname()[1]}" for ear in ears]
    texts = printed(addresses[:2], addresses[2:])
    hosts = Hosts(texts)
    try:
        hosts.start("worker 0")
        hosts.start("ps 0")
        result = driven_run(parse(texts["chief 0"]), digits, tmp_path, "strategy.name=parameter_server", "workers=2")
        assert result.fingerprint == fingerprint
        assert [hosts.ended(task)[0] for task in ("worker 0", "ps 0")] == [0, 0]
    finally:
        hosts.close()


def test_a_run_from_elsewhere_is_taken_up_by_a_cluster(
    hosts: Hosts, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    spec = trial_spec(digits, "engine.name=fake", "engine.max_restarts=0")
    with pytest.raises(WorkFailed, match="rank 0 was lost"):
        train(spec, runs=str(tmp_path), name="trial", faults=(Fault(kind="kill_worker", rank=0, step=40),))
    hosts.start("chief 0", "runs", "resume", "trial", "--runs", str(tmp_path), "--engine", "cluster", "--json")
    hosts.start("worker 0")
    hosts.start("worker 1")
    code, said = hosts.ended("chief 0")
    assert code == 0, said
    result = json.loads(said[: said.rindex("}") + 1])
    assert (result["fingerprint"], result["workers"], result["engine"]) == (fingerprint, 3, "cluster")
    assert [hosts.ended(task)[0] for task in ("worker 0", "worker 1")] == [0, 0]


def test_a_worker_that_is_killed_and_a_host_that_is_and_comes_again_change_no_bit(
    chief: Cluster, hosts: Hosts, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    hosts.start("worker 0")
    hosts.start("worker 1")

    def start_again() -> None:
        hosts.processes["worker 0"].wait(_DEADLINE_S)
        hosts.ended("worker 0")
        hosts.start("worker 0")

    watch = threading.Thread(target=start_again)
    watch.start()
    story = Story()
    faults = (
        Fault(kind="kill_worker", rank=2, step=17),
        Fault(kind="kill_controller", rank=1, step=40, attempt=2),  # of a rank elsewhere: what hosts it
    )
    result = driven_run(chief, digits, tmp_path, faults=faults, story=story)
    watch.join()
    assert (result.fingerprint, result.restarts) == (fingerprint, 2)
    assert any("rank 2 was lost: killed by SIGKILL" in line for line in story.lines)
    assert any("its host worker 0" in line and "is gone" in line for line in story.lines)
    assert [hosts.ended(task)[0] for task in ("worker 0", "worker 1")] == [0, 0]


def test_a_host_that_is_killed_for_good_is_done_without(
    chief: Cluster, hosts: Hosts, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    hosts.start("worker 0")
    hosts.start("worker 1")
    faults = (Fault(kind="kill_controller", rank=1, step=40),)
    pairs = ("engine.min_workers=2", "engine.start_deadline_s=12")
    result = driven_run(chief, digits, tmp_path, *pairs, faults=faults)
    assert (result.fingerprint, result.workers, result.engine) == (fingerprint, 2, "cluster")
    assert hosts.ended("worker 1")[0] == 0


def test_a_host_that_is_told_to_leave_has_the_run_saved_first(
    chief: Cluster, hosts: Hosts, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    """SIGTERM after the third epoch, and a new process in its place."""
    hosts.start("worker 0")
    hosts.start("worker 1")
    ended: list[tuple[int, str]] = []

    def replace() -> None:
        ended.append(hosts.ended("worker 1"))
        hosts.start("worker 1")

    watch = threading.Thread(target=replace)

    class Director(Story):
        def say(self, text: str) -> None:
            super().say(text)
            if text.startswith("epoch  3"):
                hosts.processes["worker 1"].terminate()
                watch.start()

    story = Director()
    result = driven_run(chief, digits, tmp_path, story=story)
    watch.join()
    ((code, said),) = ended
    assert (code, "the run was saved before" in said) == (130, True)
    assert (result.fingerprint, result.workers) == (fingerprint, 3)
    assert any("rank 2 is about to be taken away" in line for line in story.lines)
    assert verify_run(find_run("trial", str(tmp_path))).faults == ()


def test_a_host_that_is_not_there_is_named(chief: Cluster, digits: Path, tmp_path: Path) -> None:
    waiting = [f"rank {rank}: waiting for {chief.told(chief.workers[rank])} to call the chief" for rank in (1, 2)]
    with pytest.raises(WorkFailed, match=re.escape("; ".join(waiting))):
        driven_run(chief, digits, tmp_path, "engine.start_deadline_s=1.5")


def test_a_host_with_another_secret_is_refused_and_told_so(
    chief: Cluster, hosts: Hosts, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_CLUSTER_SECRET", "the secret of the chief")
    hosts.start("worker 0")
    hosts.start("worker 1", PILEUS_CLUSTER_SECRET="the secret of another run")
    with pytest.raises(WorkFailed, match=r"rank 2.*which refused it: its secret is another"):
        driven_run(chief, digits, tmp_path, "engine.start_deadline_s=8")
    code, said = hosts.ended("worker 1")
    assert (code, "its secret is another than the chief's" in said, "Traceback" in said) == (2, True, False)
    code, said = hosts.ended("worker 0")
    assert (code, "which refused it" in said) == (1, True)


def test_of_two_runs_at_the_same_ports_the_second_is_refused(
    chief: Cluster, hosts: Hosts, texts: dict[str, str]
) -> None:
    worker = parse(texts["worker 0"])
    with socket.create_server(worker.addresses[worker.task]), contextlib.ExitStack() as stack:
        first, second = ClusterEngine(chief), ClusterEngine(chief)
        stack.callback(first.close)
        stack.callback(second.close)
        first.open()
        with pytest.raises(MissingService, match=r"chief 0\) listens at port \d+, which cannot be had: Address"):
            second.open()
        hosts.start("worker 0")
        code, said = hosts.ended("worker 0")
    assert (code, "worker 0 listens at port" in said) == (3, True)


def test_a_chief_that_never_comes_is_named(chief: Cluster, hosts: Hosts) -> None:
    hosts.start("worker 0", "cluster", "join", "--deadline", "0.5")
    code, said = hosts.ended("worker 0")
    assert (code, f"{chief.told(chief.chief)}, did not answer" in said) == (3, True)


def test_a_chief_that_dies_ends_its_hosts(chief: Cluster, hosts: Hosts) -> None:
    """No last word, as after SIGKILL: the port closes."""
    engine = ClusterEngine(chief)
    agents = engine.open()
    hosts.start("worker 0")
    arrival = agents._reception.arrivals.get(timeout=_DEADLINE_S)
    assert isinstance(arrival, Arrival)
    arrival.link.close()
    code, said = hosts.ended("worker 0")
    engine.close()
    assert (code, "is gone without a last word" in said) == (1, True)


def test_silent_strangers_keep_nobody_out(chief: Cluster, hosts: Hosts) -> None:
    engine = ClusterEngine(chief)
    agents = engine.open()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(chief.addresses[chief.chief]))
        started = time.monotonic()
        hosts.start("worker 0")
        while not isinstance(arrival := agents._reception.arrivals.get(timeout=_DEADLINE_S), Arrival):
            assert time.monotonic() - started < _DEADLINE_S
        arrival.link.close()
    engine.close()


def test_only_the_chief_drives(texts: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"driven by the chief of its cluster, chief 0 .*this is worker 1"):
        ClusterEngine(parse(texts["worker 1"]))


def test_mapping_is_refused_with_the_way_out(chief: Cluster) -> None:
    engine = ClusterEngine(chief)
    with pytest.raises(UsageError, match="choose --engine local"):
        engine.map(len, ["a"], workers=1)
    engine.close()
