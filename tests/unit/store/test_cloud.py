"""What needs no real cloud: addresses, credentials and what messages may hold. The contract suite has real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.errors import StoreError, UsageError
from pileus.store import open_store
from tests.servers.process import free_ports
from tests.servers.web import Site, web_site

_KEY, _SECRET = "AKIDFORTESTS", "very-secret-value"
_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SKIP_SIGNATURE", "AWS_ALLOW_HTTP")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """What stands where S3 would; no other file or address is asked for credentials."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", _KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _SECRET)
    with web_site(Site(files={"/bucket/set/a": b"one"})) as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        yield served


@pytest.mark.parametrize(
    ("place", "uri"),
    [("s3://bucket", "s3://bucket"), ("s3://bucket/", "s3://bucket"), ("S3://bucket/a/b/", "s3://bucket/a/b")],
)
def test_an_address_has_one_form(site: Site, place: str, uri: str) -> None:
    assert open_store(place).uri == uri
    assert site.asked == []


@pytest.mark.parametrize("place", ["s3://", "s3:bucket", "s3://user:secret@bucket/a", "s3://secret@b/a", "gs:///a"])
def test_an_address_that_is_none_or_may_hold_a_secret_is_refused(site: Site, place: str) -> None:
    with pytest.raises(UsageError) as told:
        open_store(place)
    assert "secret" not in str(told.value)


def test_a_prefix_cannot_climb_out(site: Site) -> None:
    with pytest.raises(UsageError, match="key"):
        open_store("s3://bucket/a/../b")


@pytest.mark.parametrize("status", [400, 403, 500])
def test_messages_hold_codes_and_no_secret(site: Site, status: int) -> None:
    path = "/bucket/set/a"
    site.faults[path] = [status] * 5
    site.bodies[path] = f"<Error><Code>SomeCode</Code><Message>{_KEY} {_SECRET}</Message></Error>".encode()
    with pytest.raises(StoreError, match="SomeCode") as told:
        open_store("s3://bucket/set").get("a")
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert _KEY not in str(told.value)
    assert _SECRET not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_bucket_is_told_apart_from_a_missing_value(site: Site) -> None:
    site.faults["/bucket/set/a"] = [404]
    site.bodies["/bucket/set/a"] = b"<Error><Code>NoSuchBucket</Code></Error>"
    with pytest.raises(StoreError, match=r"s3://bucket does not exist; create it"):
        open_store("s3://bucket/set").get("a")


def test_a_service_that_is_not_there_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(StoreError, match="no whole answer after 4 retries"):
        open_store("s3://bucket/set").get("a")


def test_credentials_of_a_profile_are_used(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[trial]\naws_access_key_id = {_KEY}\naws_secret_access_key = {_SECRET}\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_PROFILE", "trial")
    assert open_store("s3://bucket/set").get("a").content == b"one"


def test_without_credentials_the_way_out_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreError, match="there are no S3 credentials; set AWS_ACCESS_KEY_ID"):
        open_store("s3://bucket/set")
    assert site.asked == []


def test_a_request_goes_without_tls_only_to_this_machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9")
    with pytest.raises(StoreError):
        open_store("s3://bucket/set").get("a")
    assert site.asked == []
