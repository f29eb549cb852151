from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.data.sources.digits import open_digits
from pileus.data.write import write_records
from pileus.errors import MissingExtra, NotFound, SourceError, StoreError, UsageError
from pileus.records import open_records
from pileus.records.verify import verify_records
from pileus.store import open_store
from tests.servers.nginx import nginx
from tests.servers.process import free_ports
from tests.servers.web import Site, web_site

_CONTENT = os.urandom(5 << 20)


@pytest.fixture
def site() -> Iterator[Site]:
    with web_site(Site(files={"/set/a": _CONTENT, "/set/empty": b""})) as served:
        yield served


def test_values_and_ranges_are_read(site: Site) -> None:
    store = open_store(f"{site.url}/set/")
    assert store.uri == f"{site.url}/set"
    assert store.get("a").content == _CONTENT
    assert store.get("empty").content == b""
    ranges = [(4_000_000, 4_000_010), (0, 3), (5, 5), (100, 200)]
    assert store.get_ranges("a", ranges) == [_CONTENT[start:stop] for start, stop in ranges]


def test_neighbouring_ranges_are_one_request(site: Site) -> None:
    open_store(f"{site.url}/set").get_ranges("a", [(start, start + 100) for start in range(0, 100_000, 1000)])
    assert [asked.range for asked in site.asked] == ["bytes=0-99099"]


def test_a_server_without_ranges_is_read_as_a_whole(site: Site) -> None:
    site.knows_ranges = False
    store = open_store(f"{site.url}/set")
    assert store.get_ranges("a", [(1, 4), (7, 7)]) == [_CONTENT[1:4], b""]
    with pytest.raises(StoreError, match="truncated"):
        store.get_ranges("a", [(0, len(_CONTENT) + 1)])


def test_what_is_absent_or_too_short_is_told(site: Site) -> None:
    store = open_store(f"{site.url}/set")
    with pytest.raises(NotFound, match="/set/b does not exist"):
        store.get("b")
    for wrong in ((len(_CONTENT) - 1, len(_CONTENT) + 1), (len(_CONTENT) + 5, len(_CONTENT) + 6)):
        with pytest.raises(StoreError):
            store.get_ranges("a", [wrong])


@pytest.mark.parametrize("fault", [429, 500, 503, 0])
def test_passing_faults_are_tried_again(site: Site, fault: int) -> None:
    site.faults["/set/a"] = [fault, fault]
    store = open_store(f"{site.url}/set")
    assert store.get("a").content == _CONTENT
    assert len(site.asked) == 3
    site.faults["/set/a"] = [fault or 502]
    assert store.get_ranges("a", [(1, 4)]) == [_CONTENT[1:4]]
    assert len(site.asked) == 5


def test_faults_that_stay_are_told_after_a_few_tries(site: Site) -> None:
    site.faults["/set/a"] = [503] * 100
    with pytest.raises(StoreError, match=r"cannot use .*/set/a: the service answered 503\."):
        open_store(f"{site.url}/set").get("a")
    assert len(site.asked) == 5


def test_a_server_that_is_not_there_is_told() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StoreError, match=r"no whole answer after 4 retries .* check the network"):
        open_store(f"http://127.0.0.1:{port}/set").get("a")


def test_denial_is_told(site: Site) -> None:
    site.faults["/set/a"] = [403]
    with pytest.raises(StoreError, match=r"permission denied \(403\)"):
        open_store(f"{site.url}/set").get("a")


def test_redirects_stay_on_the_web(site: Site) -> None:
    site.redirects = {"/set/moved": "/set/a", "/set/file": "file:///etc/hostname", "/set/ring": "/set/ring"}
    store = open_store(f"{site.url}/set")
    assert store.get("moved").content == _CONTENT
    for key in ("file", "ring"):
        with pytest.raises(StoreError):
            store.get(key)


def test_it_can_neither_be_written_nor_listed(site: Site) -> None:
    store = open_store(f"{site.url}/set")
    assert store.abilities == (False, False, False, False)
    for ask in (
        lambda: store.put("a", b""),
        lambda: store.swap("a", b"", "1"),
        lambda: store.delete("a"),
        lambda: store.list(),
    ):
        with pytest.raises(StoreError, match=r"a web server cannot be (written to|listed)"):
            ask()
    assert site.asked == []


@pytest.mark.parametrize(
    "place",
    [
        "http://user:secret@host/x",
        "https://secret@host",
        "https://host/x?token=secret",
        "http://",
        "https://host:port/",
    ],
)
def test_a_url_that_is_none_or_may_hold_a_secret_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="a web place is") as told:
        open_store(place)
    assert "secret" not in str(told.value)


def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'obstore'", name="obstore")

    monkeypatch.setattr(importlib, "import_module", absent)
    for place in ("https://host/x", "s3://bucket/x"):
        with pytest.raises(MissingExtra, match=r"needs obstore.*pileus\[s3\]"):
            open_store(place)


def _check_a_record_set(url: str, folder: Path) -> None:
    """The set that lies in `folder` and at `url` reads the same from both."""
    there, here = open_records(url), open_records(str(folder))
    assert there.fingerprint == here.fingerprint
    assert (there.images(range(len(here))) == here.images(range(len(here)))).all()
    report = verify_records(url)
    assert report.ok
    assert report.fingerprint == here.fingerprint


def test_a_record_set_is_read_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    write_records(open_digits(), str(tmp_path / "set"))
    files = {f"/set/{each.name}": each.read_bytes() for each in (tmp_path / "set").iterdir()}
    with web_site(Site(files=files)) as served:
        _check_a_record_set(f"{served.url}/set", tmp_path / "set")
        with pytest.raises(SourceError, match="holds no record set"):
            open_records(f"{served.url}/none")


@pytest.fixture(scope="session")
def nginx_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(URL, folder that it shows)."""
    root = tmp_path_factory.mktemp("site")
    with nginx(tmp_path_factory.mktemp("nginx"), root) as url:
        yield url, root


@pytest.mark.service
def test_nginx_gives_out_a_record_set(
    nginx_site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, root = nginx_site
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    write_records(open_digits(), str(root / "set #1"))
    _check_a_record_set(f"{url}/set%20%231", root / "set #1")
    (root / "value").write_bytes(_CONTENT)
    ranges = [(4_000_000, 4_000_010), (0, 3), (5, 5), (len(_CONTENT) - 1, len(_CONTENT))]
    assert open_store(url).get_ranges("value", ranges) == [_CONTENT[start:stop] for start, stop in ranges]
