"""What the contract suites share: an engine of processes, one for the whole session, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pileus.engines.local.engine import LocalEngine
from pileus.recipes.load import load_recipe
from pileus.spec.job import Job
from pileus.spec.resolve import resolve
from tests.pictures import one_picture_for_all

__all__ = ["one_picture_for_all"]


@pytest.fixture(scope="session")
def local_engine() -> Iterator[LocalEngine]:
    """Its first launch is behind it, so that what workers are forked from is there before a test begins."""
    engine = LocalEngine()
    try:
        job = Job(run_uri="", records_uri="", spec=resolve(load_recipe("digits_cnn")), attempt=1, session="first")
        engine.launch(job).end()
        yield engine
    finally:
        engine.close()
