"""Fenced blocks, links and headings of the project's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.house.tree import ROOT

_FENCE = re.compile(r"^```(?P<language>\w+)?(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<goal>[^)\s]+)[^)]*\)|<(?:img|a)[^>]+(?:src|href)=\"(?P<tag_goal>[^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class Block(NamedTuple):
    language: str
    marks: frozenset[str]
    """Words after the language: `no-run`."""
    text: str
    line: int


def documents() -> list[Path]:
    """README, CHANGELOG and all below docs."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(path: Path) -> Iterator[Block]:
    content = path.read_text(encoding="utf-8")
    for found in _FENCE.finditer(content):
        line = content.count("\n", 0, found.start()) + 1
        yield Block(found["language"] or "", frozenset(found["marks"].split()), found["text"], line)


def links(path: Path) -> Iterator[str]:
    """Where the links of a document lead, those in fenced blocks apart."""
    for found in _LINK.finditer(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        yield found["goal"] or found["tag_goal"]


def headings(path: Path) -> list[str]:
    return _HEADING.findall(_FENCE.sub("", path.read_text(encoding="utf-8")))


def anchor(heading: str) -> str:
    """The name by which a link finds a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
