"""What needs no NameNode: addresses, faults, and which reads are joined. The contract suite has a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from pileus.errors import NotFound, StoreError, UsageError
from pileus.store import open_store, webhdfs
from tests.servers.process import free_ports
from tests.servers.web import Site, web_site

_PATH = "/webhdfs/v1/set/a"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(webhdfs, "_BACKOFF_S", 0.001)
    with web_site(Site(files={_PATH: b"0123456789"}, knows_ranges=False)) as served:
        yield served


def _place(site: Site) -> str:
    return f"webhdfs://someone@{urlsplit(site.url).netloc}/set"


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("webhdfs://u@host/", "webhdfs://u@host:9870"),
        ("webhdfs://u@host:1/a%20b/c/", "webhdfs://u@host:1/a%20b/c"),
        ("webhdfs://u@[::1]:1/a", "webhdfs://u@[::1]:1/a"),
    ],
)
def test_an_address_has_one_form(place: str, uri: str) -> None:
    assert open_store(place).uri == uri == open_store(uri).uri


def test_the_user_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", "someone")
    assert open_store("webhdfs://host/a").uri == "webhdfs://someone@host:9870/a"


@pytest.mark.parametrize(
    "place", ["webhdfs://", "webhdfs://u:secret@host/", "webhdfs://host:port/", "webhdfs://host/a?token=secret"]
)
def test_an_address_that_is_none_or_may_hold_a_secret_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="a place in HDFS is") as told:
        open_store(place)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("fault", [429, 502, 503, 504, 0])
def test_passing_faults_are_tried_again(site: Site, fault: int) -> None:
    site.faults[_PATH] = [fault, fault]
    assert open_store(_place(site)).get("a").content == b"0123456789"
    assert len(site.asked) == 3


def test_faults_that_stay_are_told_after_a_few_tries(site: Site) -> None:
    site.faults[_PATH] = [503] * 100
    with pytest.raises(StoreError, match=r"no answer after 4 retries \(status 503\)"):
        open_store(_place(site)).get("a")
    assert len(site.asked) == 5


def test_a_name_node_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhdfs, "_BACKOFF_S", 0.001)
    (port,) = free_ports(1)
    with pytest.raises(StoreError, match="check the NameNode"):
        open_store(f"webhdfs://u@127.0.0.1:{port}/").list()


@pytest.mark.parametrize(
    ("kind", "message"),
    [("AccessControlException", "permission denied"), ("SafeModeException", "safe mode"), ("Odd", "HDFS answered Odd")],
)
def test_a_refusal_is_told_once(site: Site, kind: str, message: str) -> None:
    site.faults[_PATH] = [403]
    site.bodies[_PATH] = json.dumps({"RemoteException": {"exception": kind, "message": "x", "other": 1}}).encode()
    with pytest.raises(StoreError, match=message):
        open_store(_place(site)).get("a")
    assert len(site.asked) == 1


def test_a_name_node_without_a_ready_data_node_is_asked_again(site: Site) -> None:
    message = "Failed to find datanode, suggest to check cluster health. excludeDatanodes=null"
    site.bodies[_PATH] = json.dumps({"RemoteException": {"exception": "IOException", "message": message}}).encode()
    site.faults[_PATH] = [403, 403]
    assert open_store(_place(site)).get("a").content == b"0123456789"
    site.faults[_PATH] = [403] * 100
    with pytest.raises(
        StoreError, match=r"after 4 retries \(Failed to find datanode.*check the NameNode, its DataNodes"
    ):
        open_store(_place(site)).get("a")


def test_what_is_no_name_node_is_told(site: Site) -> None:
    site.faults[_PATH] = [418]
    with pytest.raises(StoreError, match="no server of WebHDFS"):
        open_store(_place(site)).get("a")
    site.files["/webhdfs/v1/set"] = b"hello"
    with pytest.raises(StoreError, match="no listing of WebHDFS"):
        open_store(_place(site)).list()


def test_a_swap_is_refused_and_changes_nothing(site: Site) -> None:
    store = open_store(_place(site))
    with pytest.raises(StoreError, match="no compare-and-swap"):
        store.swap("a", b"", "1")
    site.faults["/webhdfs/v1/set/b"] = [404]
    absent = {"RemoteException": {"exception": "FileNotFoundException", "message": "b"}}
    site.bodies["/webhdfs/v1/set/b"] = json.dumps(absent).encode()
    with pytest.raises(NotFound):
        store.swap("b", b"", "1")
    assert {asked.method for asked in site.asked} == {"GET"}


def test_near_ranges_are_read_as_one() -> None:
    far = 10 << 20
    ranges = [(far, far + 5), (0, 10), (5, 8), (9, 9), (20, 30)]
    assert webhdfs._coalesced(ranges) == [(0, 30, [1, 2, 4]), (far, far + 5, [0])]
