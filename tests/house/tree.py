"""The checkout as the gates see it: its Python files, their syntax trees, and who imports whom."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("src", "tests", "scripts", "benchmarks", "reference", "examples")
"""Where the project's Python lies; a place may be absent yet."""


class Module(NamedTuple):
    name: str
    """Dotted, as it is imported: `pileus.store.files`, `tests.house.tree`."""
    path: Path
    """Relative to the checkout."""
    tree: ast.Module
    num_lines: int


class Import(NamedTuple):
    importer: str
    imported: str
    line: int


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the checkout, sorted by path."""
    return tuple(
        _parsed(path)
        for place in PLACES
        for path in sorted((ROOT / place).rglob("*.py"))
        if "__pycache__" not in path.parts and ".venv" not in path.parts
    )


@functools.cache
def imports() -> tuple[Import, ...]:
    """Every import statement; a name from a package that is itself a module counts as that module."""
    names = {module.name for module in modules()}
    return tuple(found for module in modules() for found in _imports_of(module, names))


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """All that a caller may give, a method's own `self` or `cls` apart."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _parsed(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    if parts[0] == "src":
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return Module(".".join(parts), relative, ast.parse(text, str(relative)), len(text.splitlines()))


def _imports_of(module: Module, names: set[str]) -> Iterator[Import]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module.name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module.name, inner if inner in names else node.module, node.lineno)
