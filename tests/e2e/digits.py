"""What trials of whole runs train on: a conftest that imports these fixtures gives them to its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.running import fault_free_fingerprint, write_digits


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "records")


@pytest.fixture(scope="session")
def fingerprint(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of one worker, without faults."""
    return fault_free_fingerprint(digits, tmp_path_factory.mktemp("fault-free"))
