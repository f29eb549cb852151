"""Links lead somewhere, and every decision has its four parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.markdown import anchor, documents, headings, links
from tests.house.tree import ROOT

_DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
_PARTS = ["Status", "Context", "Decision", "Consequences"]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    broken = []
    for goal in links(document):
        if re.match(r"[a-z]+:", goal):
            continue
        name, _, place = goal.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (place and place not in map(anchor, headings(path))):
            broken.append(goal)
    assert not broken


@pytest.mark.parametrize("decision", _DECISIONS, ids=shown)
def test_a_decision_has_its_parts(decision: Path) -> None:
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", decision.name)
    title, *parts = headings(decision)
    assert title.startswith(f"{int(decision.name[:4])}. ")
    assert parts == _PARTS


def test_decisions_are_numbered_without_a_doubt() -> None:
    numbers = [path.name[:4] for path in _DECISIONS]
    assert numbers
    assert len(numbers) == len(set(numbers))
