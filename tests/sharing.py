"""Which tests are run by one process of pytest: those that share what one of them has started.

They are told by the tests' names: the marks of groups of pytest-xdist 3.8 are of no effect with pytest 9.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

_PLACED = "tests/contracts/placed/"
_OF_OWN_CLUSTERS = (f"{_PLACED}test_engine.py", f"{_PLACED}test_map.py")
_OF_STORES = ("tests/contracts/test_store.py", "tests/e2e/test_stores.py")


def group_of(test: str) -> str:
    """By a test's id: a file, and of engines that place what concerns one of them."""
    file, _, name = test.partition("::")
    if file in _OF_STORES:
        return "stores"
    if not file.startswith(_PLACED):
        return file
    engine = name.partition("[")[2].partition("-")[0].rstrip("]")
    return f"own clusters {engine}" if file in _OF_OWN_CLUSTERS else f"{file} {engine}"


class LoadGroups(LoadFileScheduling):
    """In the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
