from __future__ import annotations

import json

import pytest

from pileus.engines.cluster.environment import Task, parse, printed, read_cluster
from pileus.engines.cluster.placing import ClusterHosts, placed
from pileus.errors import UsageError
from pileus.recipes.load import load_recipe
from pileus.spec.job import Job
from pileus.spec.resolve import parse_setting, resolve
from pileus.spec.run import RunSpec

FULL = {"chief": ["a:1"], "worker": ["b:2", "c:3"], "ps": ["d:4"]}


def text(cluster: object = None, task: object = None, **more: object) -> str:
    return json.dumps({"cluster": cluster or FULL, "task": task or {"type": "worker", "index": 0}, **more})


def spec_of(*pairs: str) -> RunSpec:
    return resolve(load_recipe("digits_cnn"), [parse_setting(pair) for pair in pairs])


def test_the_chief_is_a_worker_and_the_first() -> None:
    cluster = parse(text(environment="cloud", job={"job_name": "x"}, rpc_layer="grpc"))
    assert [str(task) for task in cluster.workers] == ["chief 0", "worker 0", "worker 1"]
    assert [str(task) for task in cluster.servers] == ["ps 0"]
    assert (str(cluster.task), cluster.is_chief) == ("worker 0", False)
    assert cluster.told(cluster.chief) == "chief 0 (a:1)"


def test_worker_0_is_the_chief_where_none_is_named() -> None:
    cluster = parse(text({"worker": ["a:1", "b:2"]}))
    assert cluster.is_chief
    assert not parse(text({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 1})).is_chief


def test_a_master_is_a_chief_and_an_index_may_be_text() -> None:
    cluster = parse(text({"master": ["a:1"], "worker": ["b:2"]}, {"type": "master", "index": "0"}))
    assert cluster.is_chief


def test_every_host_has_the_same_fingerprint_and_another_cluster_another() -> None:
    first, second = parse(text()), parse(text(task={"type": "ps", "index": 0}))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != parse(text({**FULL, "worker": ["c:3", "b:2"]})).fingerprint


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        ("{}", "must be lists of HOST:PORT"),
        (text({"ps": ["a:1"]}, {"type": "ps", "index": 0}), "neither a chief nor a worker"),
        (text({"chief": ["a:1", "b:2"]}), "2 chiefs"),
        (text({"worker": ["a:1", "a:1"]}), "names an address twice"),
        (text({"worker": ["a"]}), "HOST:PORT"),
        (text({"worker": ["a:0"]}), "HOST:PORT"),
        (text({"worker": ["[::1]:5"]}), "IPv4"),
        (text({"worker": "a:1"}), "lists of HOST:PORT"),
        (text({"worker": ["a:1"], "driver": ["b:1"]}), r"got driver"),
        (text(task={"type": "worker"}), "type and index"),
        (text(task={"type": "worker", "index": 2}), r"chief 0, worker 0, worker 1, ps 0 \(got worker 2\)"),
        (text(task={"type": "evaluator", "index": 0}), "pileus evaluate"),
        (text(sparseCluster={"worker": {"0": "a:1"}}), "dynamic workers"),
        ("x" * (2 << 20), "characters"),
    ],
)
def test_what_means_no_cluster_is_refused_by_name(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(given)


def test_an_evaluator_beside_the_cluster_disturbs_nobody() -> None:
    assert len(parse(text({**FULL, "evaluator": ["e:5"]})).addresses) == 4


def test_a_missing_variable_is_shown_by_example() -> None:
    with pytest.raises(UsageError, match=r"TF_CONFIG, which is not set: TF_CONFIG="):
        read_cluster({})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("127.evil.net", False), ("10.0.0.1", False)],
)
def test_loopback_is_only_what_surely_is(host: str, loopback: bool) -> None:
    assert parse(text({"worker": [f"{host}:1"]})).is_loopback is loopback


def test_what_is_written_is_read_back() -> None:
    texts = printed(["alpha", "beta:7"], ["gamma"])
    assert list(texts) == ["chief 0", "worker 0", "ps 0"]
    clusters = [parse(each) for each in texts.values()]
    assert [str(cluster.task) for cluster in clusters] == list(texts)
    assert {str(cluster.addresses[cluster.task]) for cluster in clusters} == {"alpha:2222", "beta:7", "gamma:2222"}
    assert len({cluster.fingerprint for cluster in clusters}) == 1


def test_servers_must_be_those_of_the_cluster() -> None:
    cluster = parse(text())
    cluster.check(spec_of("strategy.name=parameter_server", "strategy.servers=1"))
    with pytest.raises(UsageError, match=r"strategy.servers=2, and 1 ps"):
        cluster.check(spec_of("strategy.name=parameter_server", "strategy.servers=2"))
    with pytest.raises(UsageError, match=r"strategy.servers=0, and 1 ps"):
        cluster.check(spec_of("strategy.name=all_reduce"))


@pytest.mark.parametrize(
    ("workers", "present", "expected"),
    [
        (3, (), {"chief 0": (0,), "worker 0": (1,), "worker 1": (2,)}),
        (4, (), {"chief 0": (0, 1), "worker 0": (2,), "worker 1": (3,)}),
        (2, ("worker 1",), {"chief 0": (0,), "worker 1": (1,)}),
        (1, ("worker 0", "worker 1"), {"chief 0": (0,)}),
    ],
)
def test_ranks_are_placed_on_those_that_are_there(
    workers: int, present: tuple[str, ...], expected: dict[str, tuple[int, ...]]
) -> None:
    cluster = parse(text({"chief": ["a:1"], "worker": ["b:2", "c:3"]}))
    job = Job(run_uri="", records_uri="", spec=spec_of(f"workers={workers}"), attempt=1, session="")
    there = [task for task in cluster.workers if str(task) in present]
    assert {str(task): ranks for task, ranks in placed(job, cluster, there).items()} == expected


def test_servers_are_placed_on_ps_hosts() -> None:
    cluster = parse(text())
    spec = spec_of("workers=3", "strategy.name=parameter_server")
    job = Job(run_uri="", records_uri="", spec=spec, attempt=1, session="")
    assert placed(job, cluster, ())[Task(type="ps", index=0)] == (3,)


def test_only_the_other_hosts_of_the_same_cluster_are_agents() -> None:
    hosts, group = ClusterHosts(parse(text())), parse(text()).fingerprint
    assert hosts.objection("worker 1", group) is None
    assert "names another cluster" in str(hosts.objection("worker 1", "another"))
    for name in ("chief 0", "worker 7", ""):
        assert f"{name} is no agent" in str(hosts.objection(name, group))
