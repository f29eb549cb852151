"""What is generated and committed equals a regeneration: the picture of the architecture, the list of knobs."""

from __future__ import annotations

import difflib
from xml.etree import ElementTree

from scripts import draw_architecture, draw_life, list_knobs


def changes(committed: str, generated: str) -> list[str]:
    lines = difflib.unified_diff(committed.splitlines(), generated.splitlines(), "committed", "generated", n=0)
    return list(lines)


def test_the_picture_of_the_architecture() -> None:
    committed = draw_architecture.PICTURE.read_text(encoding="utf-8")
    assert changes(committed, draw_architecture.draw()) == [], "run `make docs` and look at the picture"


def test_the_picture_is_well_formed_and_shows_every_room() -> None:
    texts = [each.text for each in ElementTree.fromstring(draw_architecture.draw()).iter() if each.text]
    assert set(draw_architecture.read_rooms()) <= set(texts)


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    rooms = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert draw_architecture.reduce_to_necessary(rooms) == [("a", "b"), ("b", "c")]


def test_the_list_of_knobs() -> None:
    committed = list_knobs.LIST.read_text(encoding="utf-8")
    assert changes(committed, list_knobs.list_knobs()) == [], "run `make docs` and say in the commit why"


def test_the_life_of_a_run() -> None:
    committed = draw_life.PAGE.read_text(encoding="utf-8")
    assert changes(committed, draw_life.life_of_a_run()) == [], "run `make docs` and look at the picture"
