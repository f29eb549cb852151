"""Engines by name, and what is said where one is not to be had."""

from __future__ import annotations

import sys

import pytest

from pileus.engines import connect
from pileus.engines.connect import ENGINES, check_resizable
from pileus.errors import MissingExtra, SpecError, UsageError
from pileus.spec.resolve import split_engine


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("dask", "distributed"), ("spark", "pyspark")])
def test_an_engine_whose_library_is_absent_names_its_extra(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [each for each in sys.modules if each.startswith((f"{library}.", f"pileus.engines.{name}"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, {"dask": "dask"}.get(name, library), None)
    with pytest.raises(MissingExtra, match=rf"engine '{name}' needs {library}.*pip install 'pileus\[{name}\]'"):
        connect(name)


def test_only_what_places_has_an_address() -> None:
    with pytest.raises(SpecError, match="engine 'local' has no address"):
        connect("local", address="somewhere:1")
    assert split_engine("dask@tcp://head:8786") == ("dask", "tcp://head:8786")
    assert split_engine("ray") == ("ray", None)


def test_who_cannot_change_its_number_of_workers_names_those_that_can() -> None:
    with pytest.raises(UsageError, match=r"barrier stage of engine 'spark'.*fake, local, cluster, ray, dask can"):
        check_resizable("spark")
    for name in set(ENGINES) - {"spark"}:
        check_resizable(name)
