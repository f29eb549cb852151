"""Every example does what its first lines say: the `$` lines of its docstring are run, in order, in an empty folder."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

_EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
_DEADLINE_S = 100


def commands(example: Path) -> list[list[str]]:
    """The words of what the docstring says to run, with this interpreter in place of `pileus` and `python`."""
    told = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or ""
    lines = [line.strip().removeprefix("$ ") for line in told.splitlines() if line.strip().startswith("$ ")]
    programs = {"pileus": [sys.executable, "-m", "pileus"], "python": [sys.executable]}
    return [[*programs[program], *words] for program, *words in map(shlex.split, lines)]


def test_there_are_examples_and_each_says_how_it_is_run() -> None:
    assert _EXAMPLES
    for example in _EXAMPLES:
        assert any(example.name in words for words in commands(example)), example.name


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.name)
def test_an_example_does_what_it_says(example: Path, tmp_path: Path) -> None:
    shutil.copy(example, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for words in commands(example):
        ended = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
        )
        assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
        assert ended.stdout, words
