"""`pileus doctor` tells each lack with its cost and fails only for what is essential."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from pileus.cli import extras
from pileus.cli.commands import doctor
from pileus.cli.main import main


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)["findings"]}


def refuse(*args: object, **options: object) -> NoReturn:
    raise OSError(13, "not allowed")


def test_a_whole_installation_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is True
    assert document["environment"]["libraries"]["pileus"]


def test_the_table_names_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    names = findings(capsys)
    assert main(["doctor"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in names)


def test_a_missing_extra_is_told_with_its_cost_and_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "is_installed", lambda library: library != "torch")
    assert main(["doctor", "--json"]) == 0
    lack = findings(capsys)["pileus[train]"]
    assert lack["state"] == "lacking"
    assert extras.WITHOUT["train"] in lack["detail"]
    assert "missing: torch" in lack["detail"]


@pytest.mark.parametrize(
    ("target", "name"), [("socket.create_server", "loopback"), ("tempfile.TemporaryFile", "temporary folder")]
)
def test_what_every_command_needs_is_a_failure(
    target: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, refuse)
    assert main(["doctor", "--json"]) == 1
    broken = findings(capsys)[name]
    assert broken["state"] == "broken"
    assert "not allowed" in broken["detail"]


def test_a_nearly_full_disk_is_a_warning(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_DISK_BYTES", 1 << 60)
    assert main(["doctor", "--json"]) == 0
    assert findings(capsys)["disk here"]["state"] == "lacking"


@pytest.mark.parametrize(
    ("bound", "state", "told"),
    [
        ("5000000000", "ok", "0.0 GiB of 4.7 GiB"),
        ("0", "lacking", "turned off"),
        ("much", "lacking", "number of bytes"),
    ],
)
def test_the_shard_cache_is_told(
    bound: str,
    state: str,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path))
    monkeypatch.setenv("PILEUS_CACHE_BYTES", bound)
    assert main(["doctor", "--json"]) == 0
    found = findings(capsys)["shard cache"]
    assert found["state"] == state
    assert told in found["detail"]


def test_every_extra_has_a_cost() -> None:
    assert set(extras.libraries_by_extra()) == set(extras.WITHOUT)
