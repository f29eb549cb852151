"""What is generated and committed equals a regeneration: pictures, the list of knobs, the table of fingerprints."""

from __future__ import annotations

import difflib
from xml.etree import ElementTree

import msgspec

from pileus.bench.fingerprints.report import read_figures
from pileus.bench.fingerprints.table import Done, figures_of, markdown
from scripts import draw_architecture, draw_dashboard, draw_life, list_knobs, show_fingerprints


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


def test_the_dashboard() -> None:
    committed = draw_dashboard.DASHBOARD.read_text(encoding="utf-8")
    assert changes(committed, draw_dashboard.dashboard()) == [], "run `make docs` and look at the dashboard"


def test_the_table_of_fingerprints() -> None:
    """It is that of the newest record, which has every engine and follows from the trainings that it lists."""
    committed, record = show_fingerprints.README.read_text(encoding="utf-8"), show_fingerprints.newest_record()
    assert changes(committed, show_fingerprints.with_table(committed, record)) == [], "run `make docs`"
    figures = read_figures((record / "figures.json").read_bytes())
    assert figures.is_equal
    assert [row[0] for row in figures.rows] == ["fake (threads)", "local", "ray", "dask", "spark"]
    done = [msgspec.json.decode(line, type=Done) for line in (record / "results.jsonl").read_bytes().splitlines()]
    assert figures_of(figures.request, done, figures.left_out) == figures
    assert markdown(figures) in (record / "README.md").read_text(encoding="utf-8")
