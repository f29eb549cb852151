"""Java is asked for before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.engines.spark.java import check_java
from pileus.errors import MissingService


def java(folder: Path, version: str) -> None:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n", encoding="utf-8")
    program.chmod(0o755)


def test_a_java_that_is_missing_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MissingService, match=r"no java is on PATH; install one .*JAVA_HOME"):
        check_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingService, match="cannot be run"):
        check_java()


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2"])
def test_a_java_that_is_too_old_is_said(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingService, match="needs Java 17 or later"):
        check_java()


@pytest.mark.parametrize("version", ["17.0.15", "25"])
def test_a_java_that_serves_is_taken(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    check_java()
