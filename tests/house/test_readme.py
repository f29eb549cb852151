"""The blocks of the README work: Python is run, and so is every `$ pileus` line of a console block.

The blocks of one document run in order in one new folder, as a reader would run them; a fence marked `no-run`
(```console no-run) is left out: what serves until it is stopped, or what needs data that is not embedded.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.markdown import blocks
from tests.house.tree import ROOT

_DEADLINE_S = 100


def commands(document: Path) -> Iterator[tuple[int, list[str]]]:
    """(line of the document, words) of all that a document says to run."""
    for block in blocks(document):
        if "no-run" in block.marks:
            continue
        if block.language == "python":
            yield block.line, [sys.executable, "-c", block.text]
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ pileus"):
                    words = shlex.split(line.removeprefix("$ pileus"), comments=True)
                    yield block.line, [sys.executable, "-m", "pileus", *words]


def run_all(document: Path, folder: Path) -> None:
    for line, words in commands(document):
        ended = subprocess.run(
            words,
            cwd=folder,
            env=dict(os.environ, COLUMNS="110"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
        )
        assert ended.returncode == 0, f"{document.name}:{line}: {words[1:]}\n{ended.stdout}\n{ended.stderr}"


@pytest.mark.timeout(300)  # it trains six times
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    run_all(ROOT / "README.md", tmp_path)


def test_blocks_are_found_and_marks_respected(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(
        "```console\n$ pileus doctor  # looks\nits output\n$ ls\n```\n```python\nx = 1\n```\n"
        "```console no-run\n$ pileus serve x\n```\n```toml\nx = 1\n```\n",
        encoding="utf-8",
    )
    found = list(commands(document))
    assert [words[1:] for _, words in found] == [["-m", "pileus", "doctor"], ["-c", "x = 1\n"]]
    assert [line for line, _ in found] == [1, 6]
