"""Engines that place their workers by a cluster of another library: one of each for all tests of a module.

A cluster starts and ends processes of its own as it sees fit, so what is left behind is looked at when it is closed.
All tests of one cluster are run by one process of pytest (tests/sharing.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.engines import connect
from pileus.engines.ports import Engine
from tests.conftest import complaints, present

PLACED = ("ray", "dask", "spark")


@pytest.fixture(scope="session", autouse=True)
def word_of_ray() -> Iterator[None]:
    """One for the clusters of all tests: else Ray makes a file for it at home, which some would find and some not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        yield


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    """In place of the guard of each test."""
    before = present(temporary_folder)
    yield
    found = complaints(before, temporary_folder)
    assert not found, "left behind: " + "; ".join(found)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.service) for name in PLACED])
def engine(request: pytest.FixtureRequest, nothing_left_behind: None) -> Iterator[Engine]:
    """With a cluster of its own on this machine."""
    chosen = connect(str(request.param))
    yield chosen
    chosen.close()
