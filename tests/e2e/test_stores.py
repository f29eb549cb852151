"""The whole way through real servers: records and runs that lie elsewhere end as those in a folder."""

from __future__ import annotations

import json
import urllib.request
import uuid
from pathlib import Path
from signal import SIGKILL

import pytest

from pileus.operations.runs import find_run, verify_run
from pileus.operations.train import train
from pileus.spec.job import Fault
from pileus.store import open_store
from tests.e2e.running import (
    PILEUS,
    STEPS_PER_EPOCH,
    Begun,
    alone,
    trial_spec,
    trial_words,
)
from tests.e2e.serving import served
from tests.servers.minio import Minio

_SHORT = "epochs=6"
pytestmark = pytest.mark.service


@pytest.fixture
def bucket(minio_server: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new prefix on S3; what is read of it is kept in a cache of its own."""
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path / "cache"))
    for name, value in minio_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://pileus/{uuid.uuid4().hex}"


def _killed_then_resumed(records: str, runs: str, *more: str) -> str:
    """The fingerprint of a run whose controller was killed in its course."""
    words = trial_words(Path("unused"), "--runs", runs, "--name", "one", "--workers", "2", *more)
    words[words.index("unused")] = records
    with Begun(*PILEUS, *words) as begun:
        begun.heard(" 3/")
        begun.signal(SIGKILL)
        begun.ended()
    resumed = alone("runs", "resume", f"{runs}/one", "--json")
    assert resumed.code == 0, resumed.err
    return str(json.loads(resumed.out)["fingerprint"])


def test_data_verify_and_show_on_s3(bucket: str) -> None:
    written = alone("data", "write", "embedded:digits", f"{bucket}/digits", "--json")
    assert written.code == 0, written.err
    for action in ("verify", "show"):
        ended = alone("data", action, f"{bucket}/digits", "--json")
        assert ended.code == 0, ended.err


def test_a_killed_run_on_s3_is_resumed_evaluated_and_served(
    bucket: str, digits: Path, fingerprint: str, tmp_path: Path
) -> None:
    copied = alone("data", "write", digits, f"{bucket}/records", "--json")
    assert copied.code == 0, copied.err
    runs = f"{bucket}/runs"
    assert _killed_then_resumed(f"{bucket}/records", runs) == fingerprint
    assert verify_run(find_run("one", runs)).faults == ()
    assert (tmp_path / "cache").is_dir()
    measured = alone("evaluate", f"{runs}/one", "--data", f"{bucket}/records", "--json")
    assert measured.code == 0, measured.err
    with served(f"{runs}/one") as url, urllib.request.urlopen(f"{url}/v1/models") as answer:
        assert answer.status == 200


def test_a_killed_worker_on_s3_costs_no_bit(bucket: str, digits: Path, fingerprint: str) -> None:
    copied = alone("data", "write", digits, f"{bucket}/records", "--json")
    assert copied.code == 0, copied.err
    spec = trial_spec(Path("unused"), f"data.source={bucket}/records", "workers=2")
    fault = Fault(kind="kill_worker", rank=1, step=4 * STEPS_PER_EPOCH + 2)
    result = train(spec, runs=f"{bucket}/runs", name="one", faults=(fault,))
    assert (result.fingerprint, result.restarts) == (fingerprint, 1)


def test_a_killed_run_on_hdfs_is_resumed(hdfs_address: str, digits: Path, tmp_path: Path) -> None:
    """Its directory needs put-if-absent, and nothing that HDFS has not. Short: each value takes three requests."""
    runs = f"webhdfs://pileus@{hdfs_address}/{uuid.uuid4().hex}"
    whole = train(trial_spec(digits, "engine.name=fake", _SHORT), runs=str(tmp_path), name="whole")
    assert _killed_then_resumed(str(digits), runs, "--set", _SHORT) == whole.fingerprint
    assert verify_run(find_run("one", runs)).faults == ()


def test_engines_are_compared_with_what_they_write_on_s3(bucket: str, tmp_path: Path) -> None:
    words = ("--engines", "local", "--models", "cnn", "--workers", "2", "--epochs", "1", "--images", "600")
    stores = ("--stores", "files", f"{bucket}/bench")
    ended = alone("bench", "engines", *words, *stores, "--out", str(tmp_path / "out"), "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["trials"], found["failed"]) == (2, [])
    (files,) = (each for each in found["figures"] if each["cell"]["store"] == "files")
    (there,) = (each for each in found["figures"] if each["cell"]["store"] != "files")
    assert there["fingerprints"] == files["fingerprints"]
    assert there["network_bytes"] > files["network_bytes"] > 0
    assert open_store(bucket).list() == []
