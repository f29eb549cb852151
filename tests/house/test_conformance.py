"""The page of what engines keep is what was recorded, and asks for no test that is gone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pileus.engines.connect import ENGINES as KNOWN
from pileus.operations.trials.scenarios import SCENARIOS
from scripts import tell_conformance
from scripts.tell_conformance import ENGINES, ROWS, Record, Row, cell_of, merged, page_of
from tests.house.tree import ROOT

_SOURCES = sorted({source for row in ROWS for source in row.tests})
_ONE = "tests/contracts/test_engine.py::test_a_killed_worker_changes_no_bit"


def names_in(file: Path) -> set[str]:
    """Functions, and what else is given a name, at the top of a module."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.ImportFrom(names=imported):
                names.update(each.name for each in imported)
    return names


def junit(folder: Path, name: str, inside: str = "") -> Path:
    file = folder / "tests.xml"
    case = f'<testcase classname="tests.contracts.test_engine" name="{name}">{inside}</testcase>'
    file.write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>", encoding="utf-8")
    return file


@pytest.mark.parametrize("source", _SOURCES)
def test_what_a_row_asks_for_is_a_test(source: str) -> None:
    file, _, name = source.partition("::")
    assert name.partition("[")[0] in names_in(ROOT / file)


def test_every_engine_has_a_column() -> None:
    assert {*ENGINES, "cluster"} == set(KNOWN)


def test_what_is_recorded_is_of_tests_and_trials_that_are_there() -> None:
    record = tell_conformance.recorded()
    assert record.tests
    assert all(cell_of(test) for test in record.tests)
    assert {name for results in record.trials.values() for name in results} <= {each.name for each in SCENARIOS}


def test_the_page_is_what_was_recorded() -> None:
    committed = tell_conformance.PAGE.read_text(encoding="utf-8")
    assert committed == page_of(tell_conformance.recorded()), "run `make docs`"


def cells(record: Record, row: Row) -> dict[str, str]:
    line = next(line for line in page_of(record).splitlines() if line.startswith(f"| {row.promise} |"))
    return dict(zip(ENGINES, line.strip("| ").split(" | ")[1:], strict=True))


def test_a_cell_is_passed_only_if_it_ran_and_failed_if_anything_did(tmp_path: Path) -> None:
    nothing = Record(tests={}, trials={})
    row = next(row for row in ROWS if _ONE in row.tests)
    assert set(cells(nothing, row).values()) == {"–"}
    record = merged(nothing, [junit(tmp_path, "test_a_killed_worker_changes_no_bit[local-0-0]")])
    assert cells(record, row)["local"].startswith("1 passed, ")
    assert cells(record, row)["fake"] == "–"
    failing = junit(tmp_path, "test_a_killed_worker_changes_no_bit[local-1-7]", "<failure/>")
    assert cells(merged(record, [failing]), row)["local"] == "**1 of 2 failed**"
    skipped = junit(tmp_path, "test_a_killed_worker_changes_no_bit[fake-1-7]", '<skipped message="no"/>')
    assert cells(merged(record, [skipped]), row)["fake"] == "skipped"


def test_what_the_table_does_not_ask_for_is_not_kept(tmp_path: Path) -> None:
    assert merged(Record(tests={}, trials={}), [junit(tmp_path, "test_another[local]")]).tests == {}
