"""What shares a cluster or a server is run by one process of pytest."""

from __future__ import annotations

import pytest

from tests.house.tree import ROOT
from tests.sharing import _OF_OWN_CLUSTERS, _OF_STORES, group_of

_PLACED = "tests/contracts/placed"


@pytest.mark.parametrize(
    ("test", "group"),
    [
        (f"{_PLACED}/test_engine.py::test_a_killed_place[ray]", "own clusters ray"),
        (f"{_PLACED}/test_map.py::test_errors[ray]", "own clusters ray"),
        (f"{_PLACED}/test_engine.py::test_a_killed_worker[dask-1-25]", "own clusters dask"),
        (f"{_PLACED}/test_clusters.py::test_a_cluster_that_is_not_there[spark-spark://h:1]", "test_clusters.py spark"),
        ("tests/e2e/test_stores.py::test_on_s3", "stores"),
        ("tests/contracts/test_store.py::test_a_value[webhdfs]", "stores"),
        ("tests/e2e/test_runs.py::test_a_run[ray]", "tests/e2e/test_runs.py"),
    ],
)
def test_groups(test: str, group: str) -> None:
    assert group_of(test).removeprefix(f"{_PLACED}/") == group


def test_the_files_of_groups_are_there() -> None:
    assert all((ROOT / file).is_file() for file in (*_OF_OWN_CLUSTERS, *_OF_STORES))
