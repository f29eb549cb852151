"""A file is at most 600 lines, a function at most 60, parameters at most 7, and no import goes round in a ring."""

from __future__ import annotations

import ast
import graphlib

import pytest

from tests.house.tree import functions, imports, modules, num_parameters

_FILE_LINES = 600
_FUNCTION_LINES = 60
_PARAMETERS = 7


def test_files() -> None:
    too_long = [f"{each.path}: {each.num_lines} lines" for each in modules() if each.num_lines > _FILE_LINES]
    assert not too_long, f"split what is longer than {_FILE_LINES} lines"


def test_functions() -> None:
    too_long = [
        f"{module.path}:{function.lineno} {function.name}: {num_lines} lines"
        for module in modules()
        for function in functions(module.tree)
        if (num_lines := (function.end_lineno or 0) - function.lineno + 1) > _FUNCTION_LINES
    ]
    assert not too_long, f"split what is longer than {_FUNCTION_LINES} lines"


def test_parameters() -> None:
    too_many = [
        f"{module.path}:{function.lineno} {function.name}: {count} parameters"
        for module in modules()
        for function in functions(module.tree)
        if (count := num_parameters(function)) > _PARAMETERS
    ]
    assert not too_many, f"gather what belongs together in a value; at most {_PARAMETERS} parameters"


def test_no_import_goes_round_in_a_ring() -> None:
    names = {module.name for module in modules()}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for found in imports():
        if found.imported in names and found.imported != found.importer:
            graph[found.importer].add(found.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as ring:
        pytest.fail(f"imports go round: {' -> '.join(ring.args[1])}", pytrace=False)


def test_the_counts_are_those_of_a_reader() -> None:
    source = "class A:\n    def f(self, a, /, b, *c, d=1, **e):\n        x = 1\n        return x\n"
    (function,) = functions(ast.parse(source))
    assert num_parameters(function) == 5
    assert (function.end_lineno or 0) - function.lineno + 1 == 3
